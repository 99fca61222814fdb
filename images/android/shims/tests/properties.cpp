// SPDX-License-Identifier: Apache-2.0
//
// Linked into each test: the system properties of a debuggable build, which some of AOSP's tests ask for. libbase keeps
// properties in the process where there is no property service.
#include <android-base/properties.h>

static const bool debuggable = android::base::SetProperty("ro.debuggable", "1") &&
	android::base::SetProperty("ro.build.type", "userdebug");
