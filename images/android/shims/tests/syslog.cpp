// SPDX-License-Identifier: Apache-2.0
//
// syslog to standard error, where death tests look for what the NDK's headers say before they abort.
#include <stdarg.h>
#include <stdio.h>
#include <syslog.h>

extern "C" void syslog(int, const char *format, ...) {
	va_list args;

	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
}
