// SPDX-License-Identifier: Apache-2.0

// Package bindertest is the list of binder scenarios: each pins one rule of the
// interface, runs on any System, and leaves a transcript. The transcripts of the
// kernel's own driver are the measure.
package bindertest
