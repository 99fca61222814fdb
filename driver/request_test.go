// SPDX-License-Identifier: Apache-2.0

package driver

import (
	"reflect"
	"testing"
)

// TestClearLeavesNothing: Clear names each field, and a new one must not be forgotten.
func TestClearLeavesNothing(t *testing.T) {
	var p Response
	v := reflect.ValueOf(&p).Elem()
	for i := range v.NumField() {
		switch f := v.Field(i); {
		case f.CanUint():
			f.SetUint(7)
		case f.CanInt():
			f.SetInt(7)
		case f.Kind() == reflect.Slice:
			f.Set(reflect.MakeSlice(f.Type(), 1, 1))
		default:
			t.Fatalf("%s: a kind that this test does not know", v.Type().Field(i).Name)
		}
	}
	p.Clear()
	for i := range v.NumField() {
		f, name := v.Field(i), v.Type().Field(i).Name
		want := reflect.Zero(f.Type()).Interface()
		switch {
		case name == "TxnPos":
			want = uint32(NoPos)
		case name == "Nice":
			want = int32(NoNice)
		case f.Kind() == reflect.Slice:
			if f.Len() != 0 || f.Cap() == 0 {
				t.Errorf("%s: %d entries, room for %d", name, f.Len(), f.Cap())
			}
			continue
		}
		if f.Interface() != want {
			t.Errorf("%s is %v, not %v", name, f.Interface(), want)
		}
	}
}
