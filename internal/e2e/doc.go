// SPDX-License-Identifier: Apache-2.0

// Package e2e holds the end-to-end tests, under the build tag e2e: they run
// `virtbinder demo`, the program that users run, on each kernel that matters, and
// look at what it leaves behind. Nothing in them is skipped: what they need and do
// not find is a failure that says what makes it.
package e2e
