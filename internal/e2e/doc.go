// SPDX-License-Identifier: Apache-2.0

// Package e2e holds the end-to-end tests, under the build tag e2e. TestDemo runs
// `virtbinder demo`, the program that users run, on each kernel that matters, and
// looks at what it leaves behind. TestReports* run on the lab's host, as the same
// test program once more, and hold the failure reports on its netlink, or on the
// guest's, against the kernel's. TestOracle* compare our driver with the kernel's own.
// Nothing in them is skipped: what they need and do not find is a failure
// that says what makes it.
package e2e
