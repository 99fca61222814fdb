// SPDX-License-Identifier: Apache-2.0

package monitor

// Help is what --help adds.
func (c *Cmd) Help() string {
	return `Reports come from running VMs and from the host's own kernel (Linux 6.18 and later). No privilege is needed;
the owner of a VM is told more: reasons, names, interfaces, and losses that the kernel does not report.

Examples:

  virtbinder monitor                                   everything, as it happens
  virtbinder monitor --error frozen_reply --vm demo    calls to frozen processes of one VM
  virtbinder monitor --since 10m --json                what VMs remember of ten minutes, then what comes
  virtbinder monitor --summary --process 'com.android.*'
  virtbinder monitor --error oneway_spam_suspect --guest --exec 'virtbinder exec "$REPORT_VM" -- kill "$REPORT_GUEST_FROM_PID"'`
}
