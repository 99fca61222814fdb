// SPDX-License-Identifier: Apache-2.0

//go:build lockdep

package vbinder

const lockdep = true // ranked locks allocate
