// SPDX-License-Identifier: Apache-2.0

// Package bootimg reads Android boot images: boot.img with header versions 0 to 4,
// and the vendor_boot.img that completes versions 3 and 4. It does with them what
// Android's bootloaders do:
//
//	kernel        boot.img's
//	initrd        vendor_boot's ramdisks but those for recovery, then boot.img's own
//	bootconfig    vendor_boot's, at the very end of the initrd with its trailer
//	command line  boot.img's, then vendor_boot's
//
// Device trees, second-stage loaders, overlays for recovery, load addresses and
// signatures mean nothing on this machine and are passed over.
//
// Images are hostile input: every size is proved against the file before it is used.
package bootimg
