// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/google/pprof/profile"
)

// stage is a part of the VMM's work for a request, by the functions that do it. The
// innermost of a stack that is one of them counts.
type stage struct {
	name      string
	functions []string // or what their names begin with, after "virtbinder/"
}

// inGuest is no work: the processor is in the guest, or on its way there and back.
const inGuest = "guest"

var stages = []stage{
	{inGuest, []string{"vmm/kvm.(*VCPU).Run"}},
	{"payload copied", []string{"driver.(*builder).copy", "virtio/vbinder.(*request).ReadAt"}},
	{"chain taken and proved", []string{"virtio.(*Queue).Pop", "virtio.(*Queue).walk", "virtio.(*Queue).popLocked"}},
	{"control part copied and decoded", []string{"virtio/vbinder.(*request).load", "virtio/vbinder.(*request).clear", "virtio/vbinder/wire."}},
	{"answers written and published", []string{"virtio/vbinder.(*Device).Complete", "virtio.(*Queue).Push", "virtio.(*Queue).Interrupt"}},
	{"core: target, buffer, translation, delivery", []string{"driver."}},
	{"the rest of the device", []string{"virtio/vbinder."}},
	{"the way to the device", []string{"virtio.", "vmm."}},
}

// parseProfile reads a processor profile: nanoseconds by stage.
func parseProfile(raw []byte) (spent, error) {
	p, err := profile.Parse(bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	value := -1
	for i, t := range p.SampleType {
		if t.Unit == "nanoseconds" {
			value = i
		}
	}
	if value < 0 {
		return nil, fmt.Errorf("a processor profile without nanoseconds: %v", p.SampleType)
	}
	s := spent{}
	for _, sample := range p.Sample {
		s[stageOf(sample)] += float64(sample.Value[value])
	}
	return s, nil
}

// stageOf is the stage of a stack, "" if it is none's.
func stageOf(s *profile.Sample) string {
	for _, l := range s.Location {
		for _, line := range l.Line {
			if name := stageOfFunction(line.Function.Name); name != "" {
				return name
			}
		}
	}
	return ""
}

func stageOfFunction(name string) string {
	name, ours := strings.CutPrefix(name, "virtbinder/")
	for _, s := range stages {
		for _, f := range s.functions {
			if ours && strings.HasPrefix(name, f) {
				return s.name
			}
		}
	}
	return ""
}
