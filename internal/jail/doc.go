// SPDX-License-Identifier: Apache-2.0

// Package jail closes the VMM's process in, once everything that its machines need
// of the host is open: whoever takes it over through a hole in a device finds little
// more than that machine.
//
// Three walls, in all threads and for good:
//
//	capabilities  none is left, and no program can be run that would bring some back
//	Landlock      files other than the machine's runtime directories are out of reach:
//	              nothing to open, make, remove or connect to; no TCP, no signals to
//	              others. Kernels without Landlock lack this wall; Status says so.
//	seccomp       an allow-list of system calls, some with their arguments
//	              (seccomp.go); any other fails with EPERM and is logged by the
//	              kernel's audit
//
// A thread that runs a virtual processor gets a shorter list (EnterVCPU): the guest's
// exits are served there, and it opens nothing.
//
// A refused call is an error and does not end the process: a machine is not lost to a
// system call that a library makes one day and can do without.
package jail
