// SPDX-License-Identifier: Apache-2.0

package netlink_test

import (
	"context"
	"fmt"
	"log"

	"virtbinder/netlink"
)

// Listen to every binder failure on this machine: the kernel's and those of
// running VMs.
func ExampleListen() {
	l, err := netlink.Listen(netlink.ListenOptions{RuntimeDirs: []string{"/run/virtbinder"}})
	if err != nil {
		log.Fatal(err)
	}
	defer l.Close()
	for {
		ev, err := l.Receive(context.Background())
		if err != nil {
			return
		}
		switch ev.Kind {
		case netlink.EventReport:
			fmt.Println(&ev.Report)
		case netlink.EventGap:
			fmt.Println("reports were lost here")
		}
	}
}

// Encode a report and decode it again.
func ExampleReport_AppendMessage() {
	r := netlink.Report{Error: netlink.BRDeadReply, Context: "binder", FromPID: 119, FromTID: 119, Flags: 0x10, Code: 1, DataSize: 12}
	msg := r.AppendMessage(nil, 37)
	back, err := netlink.ParseMessage(msg)
	fmt.Println(len(msg), &back, err)
	// Output: 80 BR_DEAD_REPLY context "binder" from 119/119 flags TF_ACCEPT_FDS code 1 data_size 12 <nil>
}
