/* SPDX-License-Identifier: Apache-2.0 */
/* What servicemanager uses of libvintf, for a system that declares no HALs: both manifests are there and empty. */
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>

namespace android::vintf {

enum class HalFormat { HIDL, NATIVE, AIDL };

class ManifestInstance {
public:
	HalFormat format() const { return HalFormat::AIDL; }
	std::string package() const { return {}; }
	std::string interface() const { return {}; }
	std::string instance() const { return {}; }
	std::optional<std::string> updatableViaApex() const { return {}; }
	std::optional<std::string> ip() const { return {}; }
	std::optional<uint64_t> port() const { return {}; }
};

class HalManifest {
public:
	bool hasAidlInstance(const std::string &, const std::string &, const std::string &) const { return false; }
	std::set<std::string> getAidlInstances(const std::string &, const std::string &) const { return {}; }
	std::set<std::string> getHidlInstances(const std::string &, size_t, size_t, const std::string &) const { return {}; }
	template <typename F> bool forEachInstance(F &&visit) const {
		// Never called; it makes the compiler look at the visitor.
		if (false) visit(ManifestInstance());
		return true;
	}
};

class VintfObject {
public:
	static std::shared_ptr<VintfObject> GetInstance() { return std::make_shared<VintfObject>(); }
	static std::shared_ptr<const HalManifest> GetDeviceHalManifest() { return std::make_shared<HalManifest>(); }
	static std::shared_ptr<const HalManifest> GetFrameworkHalManifest() { return std::make_shared<HalManifest>(); }
	std::shared_ptr<const HalManifest> getDeviceHalManifest() const { return GetDeviceHalManifest(); }
	std::shared_ptr<const HalManifest> getFrameworkHalManifest() const { return GetFrameworkHalManifest(); }
};

} // namespace android::vintf
