// SPDX-License-Identifier: Apache-2.0

// Command compat writes docs/compat.md: each part of the interface that driver/uapi
// names, with the scenarios that show it. A scenario shows what its transcript
// names; its transcript on the stock driver is in driver/bindertest/testdata.
package main

//go:generate go run . ../../docs/compat.md
