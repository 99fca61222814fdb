// SPDX-License-Identifier: Apache-2.0

package vmm

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// The ACPI tables: how the kernel learns of processors, interrupt controllers,
// the PCI bus and its windows, the serial port, the panic device, and how to
// power off and reset. They lie below 1 MiB where firmware puts them.
//
//	RSDP -> XSDT -> FADT -> FACS, DSDT
//	             -> MADT

// Ports and lines the tables tell of.
const (
	pm1EventPort   = 0x600 // status, enable: two bytes each
	pm1ControlPort = 0x604
	resetPort      = 0xcf9
	resetValue     = 0x06
	panicPort      = 0x505
	sciIRQ         = 9
	serialPort     = 0x3f8
	serialIRQ      = 4

	// sleepTypeOff is what PM1 control's sleep type is for power off.
	sleepTypeOff = 5
)

const (
	oemID      = "VIRTBI"
	oemTableID = "VIRTBNDR"
	creatorID  = "VBND"

	// FADT: which legacy hardware there is, and fixed features.
	bootArchLegacyDevices = 1 << 0
	bootArchNoVGA         = 1 << 2
	bootArchNoRTC         = 1 << 5
	fadtWBINVD            = 1 << 0
	fadtC1                = 1 << 2
	fadtNoSleepButton     = 1 << 5
	fadtNoRTCWake         = 1 << 6
	fadtResetRegister     = 1 << 10

	// MADT.
	madtPCAT        = 1 << 0
	madtEnabled     = 1
	madtActiveHigh  = 1
	madtLevel       = 3 << 2
	madtAllCPUs     = 0xff
	pciSlots        = 32
	pciPins         = 4
	firstPCIGSI     = 16
	pciGSIs         = 8
	ioapicGSICount  = firstPCIGSI + pciGSIs
	lint1           = 1
	acpiSystemIO    = 1
	acpiByteAccess  = 1
	acpiHeaderBytes = 36
)

// gas is ACPI's generic address structure.
type gas struct {
	Space, Width, Offset, Access uint8
	Addr                         uint64
}

func ioGAS(port uint64, bits, access uint8) gas {
	return gas{Space: acpiSystemIO, Width: bits, Access: access, Addr: port}
}

// fadt is the body of the fixed ACPI description table, revision 6.
type fadt struct {
	FirmwareCtrl, DSDT                                           uint32
	_                                                            uint8
	Profile                                                      uint8
	SCI                                                          uint16
	SMICommand                                                   uint32
	ACPIEnable, ACPIDisable, S4BIOS, PState                      uint8
	PM1aEvent, PM1bEvent, PM1aControl, PM1bControl               uint32
	PM2Control, PMTimer, GPE0, GPE1                              uint32
	PM1EventLen, PM1ControlLen, PM2ControlLen                    uint8
	PMTimerLen, GPE0Len, GPE1Len, GPE1Base, CST                  uint8
	C2Latency, C3Latency, FlushSize, FlushStride                 uint16
	DutyOffset, DutyWidth, DayAlarm, MonthAlarm, Century         uint8
	BootArch                                                     uint16
	_                                                            uint8
	Flags                                                        uint32
	Reset                                                        gas
	ResetValue                                                   uint8
	ARMBootArch                                                  uint16
	Minor                                                        uint8
	XFirmwareCtrl, XDSDT                                         uint64
	XPM1aEvent, XPM1bEvent, XPM1aControl, XPM1bControl           gas
	XPM2Control, XPMTimer, XGPE0, XGPE1, SleepControl, SleepStat gas
	Hypervisor                                                   uint64
}

// acpiTables lays all tables out from base on and returns their bytes and the
// address of the root pointer.
func acpiTables(base uint64, cpus int, l layout) (blob []byte, rsdp uint64, err error) {
	b := tableBuilder{base: base}
	facs := b.add(facsTable(), 64)
	dsdt := b.add(dsdtTable(l), 16)
	fadt := b.add(fadtTable(facs, dsdt), 16)
	madt := b.add(madtTable(cpus), 16)
	xsdt := b.add(xsdtTable(fadt, madt), 16)
	rsdp = b.add(rsdpTable(xsdt), 16)
	if base+uint64(len(b.blob)) > acpiEnd {
		return nil, 0, fmt.Errorf("ACPI tables take %d bytes, there is room for %d: use fewer vCPUs", len(b.blob), acpiEnd-base)
	}
	return b.blob, rsdp, nil
}

type tableBuilder struct {
	base uint64
	blob []byte
}

func (b *tableBuilder) add(table []byte, align uint64) (addr uint64) {
	addr = alignUp(b.base+uint64(len(b.blob)), align)
	b.blob = append(b.blob, make([]byte, addr-b.base-uint64(len(b.blob)))...)
	b.blob = append(b.blob, table...)
	return addr
}

// acpiTable puts the common header before body.
func acpiTable(signature string, revision uint8, body []byte) []byte {
	t := make([]byte, 0, acpiHeaderBytes+len(body))
	t = append(t, signature...)
	t = binary.LittleEndian.AppendUint32(t, uint32(acpiHeaderBytes+len(body)))
	t = append(t, revision, 0)
	t = append(t, oemID...)
	t = append(t, oemTableID...)
	t = binary.LittleEndian.AppendUint32(t, 1)
	t = append(t, creatorID...)
	t = binary.LittleEndian.AppendUint32(t, 1)
	t = append(t, body...)
	t[9] = checksum(t)
	return t
}

// checksum is the byte that makes the sum of b zero.
func checksum(b []byte) uint8 {
	var sum uint8
	for _, c := range b {
		sum += c
	}
	return -sum
}

func rsdpTable(xsdt uint64) []byte {
	t := append([]byte("RSD PTR "), 0)
	t = append(t, oemID...)
	t = append(t, 2)
	t = binary.LittleEndian.AppendUint32(t, 0) // no RSDT
	t[8] = checksum(t)
	t = binary.LittleEndian.AppendUint32(t, 36)
	t = binary.LittleEndian.AppendUint64(t, xsdt)
	t = append(t, 0, 0, 0, 0)
	t[32] = checksum(t)
	return t
}

func xsdtTable(tables ...uint64) []byte {
	var body []byte
	for _, addr := range tables {
		body = binary.LittleEndian.AppendUint64(body, addr)
	}
	return acpiTable("XSDT", 1, body)
}

// facsTable is the shared area of firmware and kernel, which nobody uses.
func facsTable() []byte {
	t := make([]byte, 64)
	copy(t, "FACS")
	binary.LittleEndian.PutUint32(t[4:], 64)
	t[32] = 2 // version
	return t
}

func fadtTable(facs, dsdt uint64) []byte {
	f := fadt{
		FirmwareCtrl: uint32(facs), DSDT: uint32(dsdt),
		SCI:       sciIRQ,
		PM1aEvent: pm1EventPort, PM1EventLen: 4,
		PM1aControl: pm1ControlPort, PM1ControlLen: 2,
		C2Latency: 0xffff, C3Latency: 0xffff, // there are none
		BootArch:     bootArchLegacyDevices | bootArchNoVGA | bootArchNoRTC,
		Flags:        fadtWBINVD | fadtC1 | fadtNoSleepButton | fadtNoRTCWake | fadtResetRegister,
		Reset:        ioGAS(resetPort, 8, acpiByteAccess),
		ResetValue:   resetValue,
		XDSDT:        dsdt,
		XPM1aEvent:   ioGAS(pm1EventPort, 32, 0),
		XPM1aControl: ioGAS(pm1ControlPort, 16, 0),
	}
	var body bytes.Buffer
	_ = binary.Write(&body, binary.LittleEndian, &f) // a fixed structure into memory cannot fail
	return acpiTable("FACP", 6, body.Bytes())
}

func madtTable(cpus int) []byte {
	le := binary.LittleEndian
	body := le.AppendUint32(nil, lapicAddr)
	body = le.AppendUint32(body, madtPCAT)
	for id := range cpus {
		body = append(body, 0, 8, byte(id), byte(id))
		body = le.AppendUint32(body, madtEnabled)
	}
	body = append(body, 1, 12, 0, 0) // the IOAPIC, from GSI 0 on
	body = le.AppendUint32(body, ioapicAddr)
	body = le.AppendUint32(body, 0)
	body = append(body, 2, 10, 0, sciIRQ) // the SCI is a level, not an ISA edge
	body = le.AppendUint32(body, sciIRQ)
	body = le.AppendUint16(body, madtActiveHigh|madtLevel)
	body = append(body, 4, 6, madtAllCPUs, 0, 0, lint1)
	return acpiTable("APIC", 5, body)
}

func dsdtTable(l layout) []byte {
	return acpiTable("DSDT", 2, join(
		amlScope(`\_SB`, pciHostDevice(l), serialDevice(), panicDevice()),
		amlNamed(`\_S5`, amlPackage(amlInt(sleepTypeOff), amlInt(sleepTypeOff), amlInt(0), amlInt(0))),
	))
}

// pciHostDevice is the root of the one PCI bus and the windows its BARs are in.
func pciHostDevice(l layout) []byte {
	return amlDevice("PCI0",
		amlNamed("_HID", amlEISA("PNP0A03")),
		amlNamed("_UID", amlInt(0)),
		amlNamed("_CRS", amlResources(
			resSpace(spaceBus, 0, 2, span{0, 1}),
			resIO(pciAddressPort, 8),
			resSpace(spaceIO, ioEntireRange, 2, span{0, pciAddressPort}),
			resSpace(spaceIO, ioEntireRange, 2, span{pciAddressPort + 8, pciIOEnd}),
			resSpace(spaceMemory, memReadWrite, 4, l.pci32),
			resSpace(spaceMemory, memReadWrite|memCacheable, 8, l.pci64),
		)),
		amlNamed("_PRT", pciRouting()),
	)
}

// pciRouting says which GSI each pin of each slot raises. Our devices use MSI-X
// and drive no pins; the table spares the kernel a complaint.
func pciRouting() []byte {
	var entries [][]byte
	for slot := range uint32(pciSlots) {
		for pin := range uint32(pciPins) {
			entries = append(entries, amlPackage(
				amlInt(slot<<16|0xffff), amlInt(pin), amlInt(0), amlInt(firstPCIGSI+(slot+pin)%pciGSIs)))
		}
	}
	return amlPackage(entries...)
}

func serialDevice() []byte {
	return amlDevice("COM1",
		amlNamed("_HID", amlEISA("PNP0501")),
		amlNamed("_UID", amlInt(1)),
		amlNamed("_CRS", amlResources(resIO(serialPort, 8), resIRQ(serialIRQ))),
	)
}

// panicDevice is what Linux's pvpanic driver looks for.
func panicDevice() []byte {
	return amlDevice("PEVT",
		amlNamed("_HID", amlString("QEMU0001")),
		amlNamed("_STA", amlInt(0xf)),
		amlNamed("_CRS", amlResources(resIO(panicPort, 1))),
	)
}
