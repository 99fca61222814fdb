// SPDX-License-Identifier: Apache-2.0

package bootimg

import (
	"bytes"
	"encoding/binary"
	"io"
	"slices"
	"strings"
)

// Initrd returns the pieces of the initial RAM file system, which belong one after
// the other without gaps. v is nil for an image that is complete by itself; extra
// is what the user adds, before the bootconfig, which has to come last.
func Initrd(b *Boot, v *Vendor, extra ...*io.SectionReader) []*io.SectionReader {
	var all []*io.SectionReader
	if v != nil {
		for _, r := range v.Ramdisks {
			if !r.Recovery {
				all = append(all, r.Data)
			}
		}
	}
	all = append(append(all, b.Ramdisk), extra...)
	if v != nil && len(v.Bootconfig) > 0 {
		c := trailed(v.Bootconfig)
		all = append(all, io.NewSectionReader(bytes.NewReader(c), 0, int64(len(c))))
	}
	return slices.DeleteFunc(all, func(r *io.SectionReader) bool { return r.Size() == 0 })
}

// trailed is a bootconfig with what lets the kernel find it at the end of an
// initrd: its size, its sum and a magic text.
func trailed(config []byte) []byte {
	if bytes.HasSuffix(config, []byte(configTrailer)) {
		return config
	}
	var sum uint32
	for _, b := range config {
		sum += uint32(b)
	}
	out := slices.Clone(config)
	out = binary.LittleEndian.AppendUint32(out, uint32(len(config)))
	out = binary.LittleEndian.AppendUint32(out, sum)
	return append(out, configTrailer...)
}

// Cmdline returns the kernel's command line; extra is what the user adds, last so
// that it wins. A bootconfig is only looked at by a kernel that is told to.
func Cmdline(b *Boot, v *Vendor, extra string) string {
	line := b.Cmdline
	if v != nil {
		line = join(line, v.Cmdline)
		if len(v.Bootconfig) > 0 && !slices.Contains(strings.Fields(line), "bootconfig") {
			line = join(line, "bootconfig")
		}
	}
	return join(line, extra)
}

func join(a, b string) string {
	return strings.TrimSpace(strings.TrimSpace(a) + " " + strings.TrimSpace(b))
}
