// SPDX-License-Identifier: Apache-2.0

// Package binderfs holds tests that run in a guest, as root: of the guest driver's
// file system and of its log files, which are held against the kernel's own driver
// under the same load. internal/e2e builds them (tag guest) and runs them there.
package binderfs
