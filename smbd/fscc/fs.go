package fscc

import (
	"dittofs/smbd/wire"
)

// File system information, [MS-FSCC] 2.5.

// FSControlInformation is FileFsControlInformation, [MS-FSCC] 2.5.2: the volume's default quotas. All ones is no limit.
type FSControlInformation struct {
	FreeSpaceStartFiltering, FreeSpaceThreshold, FreeSpaceStopFiltering uint64
	DefaultQuotaThreshold, DefaultQuotaLimit                            uint64
	FileSystemControlFlags                                              uint32
}

func (i *FSControlInformation) numbers() [5]*uint64 {
	return [5]*uint64{&i.FreeSpaceStartFiltering, &i.FreeSpaceThreshold, &i.FreeSpaceStopFiltering, &i.DefaultQuotaThreshold, &i.DefaultQuotaLimit}
}

// Parse reads the structure.
func (i *FSControlInformation) Parse(b []byte) error {
	c := wire.Reader(b)
	for _, n := range i.numbers() {
		*n = c.Uint64()
	}
	i.FileSystemControlFlags = c.Uint32()
	c.Skip(4)
	return c.End()
}

// Append appends the structure.
func (i *FSControlInformation) Append(b []byte) []byte {
	for _, n := range i.numbers() {
		b = wire.Append64(b, *n)
	}
	return wire.AppendZero(wire.Append32(b, i.FileSystemControlFlags), 4)
}

// FSSizeInformation is FileFsSizeInformation, [MS-FSCC] 2.5.
type FSSizeInformation struct {
	TotalAllocationUnits     uint64
	AvailableAllocationUnits uint64
	SectorsPerAllocationUnit uint32
	BytesPerSector           uint32
}

// Parse reads the structure.
func (i *FSSizeInformation) Parse(b []byte) error {
	c := wire.Reader(b)
	i.TotalAllocationUnits = c.Uint64()
	i.AvailableAllocationUnits = c.Uint64()
	i.SectorsPerAllocationUnit = c.Uint32()
	i.BytesPerSector = c.Uint32()
	return c.End()
}

// Append appends the structure.
func (i *FSSizeInformation) Append(b []byte) []byte {
	b = wire.Append64(b, i.TotalAllocationUnits)
	b = wire.Append64(b, i.AvailableAllocationUnits)
	b = wire.Append32(b, i.SectorsPerAllocationUnit)
	return wire.Append32(b, i.BytesPerSector)
}

// FSFullSizeInformation is FileFsFullSizeInformation, [MS-FSCC] 2.5.
type FSFullSizeInformation struct {
	TotalAllocationUnits           uint64
	CallerAvailableAllocationUnits uint64
	ActualAvailableAllocationUnits uint64
	SectorsPerAllocationUnit       uint32
	BytesPerSector                 uint32
}

// Parse reads the structure.
func (i *FSFullSizeInformation) Parse(b []byte) error {
	c := wire.Reader(b)
	i.TotalAllocationUnits = c.Uint64()
	i.CallerAvailableAllocationUnits = c.Uint64()
	i.ActualAvailableAllocationUnits = c.Uint64()
	i.SectorsPerAllocationUnit = c.Uint32()
	i.BytesPerSector = c.Uint32()
	return c.End()
}

// Append appends the structure.
func (i *FSFullSizeInformation) Append(b []byte) []byte {
	b = wire.Append64(b, i.TotalAllocationUnits)
	b = wire.Append64(b, i.CallerAvailableAllocationUnits)
	b = wire.Append64(b, i.ActualAvailableAllocationUnits)
	b = wire.Append32(b, i.SectorsPerAllocationUnit)
	return wire.Append32(b, i.BytesPerSector)
}

// FSDeviceInformation is FileFsDeviceInformation, [MS-FSCC] 2.5.
type FSDeviceInformation struct {
	DeviceType      uint32
	Characteristics uint32
}

// Parse reads the structure.
func (i *FSDeviceInformation) Parse(b []byte) error {
	c := wire.Reader(b)
	i.DeviceType = c.Uint32()
	i.Characteristics = c.Uint32()
	return c.End()
}

// Append appends the structure.
func (i *FSDeviceInformation) Append(b []byte) []byte {
	b = wire.Append32(b, i.DeviceType)
	return wire.Append32(b, i.Characteristics)
}

// FSObjectIDInformation is FileFsObjectIdInformation, [MS-FSCC] 2.5.
type FSObjectIDInformation struct {
	ObjectID     [16]byte
	ExtendedInfo [48]byte
}

// Parse reads the structure.
func (i *FSObjectIDInformation) Parse(b []byte) error {
	c := wire.Reader(b)
	i.ObjectID = c.Bytes16()
	copy(i.ExtendedInfo[:], c.Bytes(48))
	return c.End()
}

// Append appends the structure.
func (i *FSObjectIDInformation) Append(b []byte) []byte {
	b = append(b, i.ObjectID[:]...)
	return append(b, i.ExtendedInfo[:]...)
}

// FSSectorSizeInformation is FileFsSectorSizeInformation, [MS-FSCC] 2.5.
type FSSectorSizeInformation struct {
	LogicalBytesPerSector                       uint32
	PhysicalBytesPerSectorForAtomicity          uint32
	PhysicalBytesPerSectorForPerformance        uint32
	EffectivePhysicalBytesPerSectorForAtomicity uint32
	Flags                                       uint32
	ByteOffsetForSectorAlignment                uint32
	ByteOffsetForPartitionAlignment             uint32
}

// Parse reads the structure.
func (i *FSSectorSizeInformation) Parse(b []byte) error {
	c := wire.Reader(b)
	i.LogicalBytesPerSector = c.Uint32()
	i.PhysicalBytesPerSectorForAtomicity = c.Uint32()
	i.PhysicalBytesPerSectorForPerformance = c.Uint32()
	i.EffectivePhysicalBytesPerSectorForAtomicity = c.Uint32()
	i.Flags = c.Uint32()
	i.ByteOffsetForSectorAlignment = c.Uint32()
	i.ByteOffsetForPartitionAlignment = c.Uint32()
	return c.End()
}

// Append appends the structure.
func (i *FSSectorSizeInformation) Append(b []byte) []byte {
	b = wire.Append32(b, i.LogicalBytesPerSector)
	b = wire.Append32(b, i.PhysicalBytesPerSectorForAtomicity)
	b = wire.Append32(b, i.PhysicalBytesPerSectorForPerformance)
	b = wire.Append32(b, i.EffectivePhysicalBytesPerSectorForAtomicity)
	b = wire.Append32(b, i.Flags)
	b = wire.Append32(b, i.ByteOffsetForSectorAlignment)
	return wire.Append32(b, i.ByteOffsetForPartitionAlignment)
}

// Device types and characteristics, [MS-FSCC] 2.5.10.
const (
	FileDeviceDisk      uint32 = 0x00000007
	FileDeviceNamedPipe uint32 = 0x00000011

	FileReadOnlyDevice  uint32 = 0x00000002
	FileRemoteDevice    uint32 = 0x00000010
	FileDeviceIsMounted uint32 = 0x00000020
)

// Flags of sector size information, [MS-FSCC] 2.5.7.
const (
	SSInfoAlignedDevice            uint32 = 1
	SSInfoPartitionAlignedOnDevice uint32 = 2
	SSInfoNoSeekPenalty            uint32 = 4
	SSInfoTrimEnabled              uint32 = 8
)

// File system attributes, [MS-FSCC] 2.5.1.
const (
	FileCaseSensitiveSearch        uint32 = 0x00000001
	FileCasePreservedNames         uint32 = 0x00000002
	FileUnicodeOnDisk              uint32 = 0x00000004
	FilePersistentACLs             uint32 = 0x00000008
	FileFileCompression            uint32 = 0x00000010
	FileVolumeQuotas               uint32 = 0x00000020
	FileSupportsSparseFiles        uint32 = 0x00000040
	FileSupportsReparsePoints      uint32 = 0x00000080
	FileSupportsObjectIDs          uint32 = 0x00010000
	FileSupportsEncryption         uint32 = 0x00020000
	FileNamedStreams               uint32 = 0x00040000
	FileReadOnlyVolume             uint32 = 0x00080000
	FileSupportsHardLinks          uint32 = 0x00400000
	FileSupportsExtendedAttributes uint32 = 0x00800000
	FileSupportsOpenByFileID       uint32 = 0x01000000
	FileSupportsBlockRefcounting   uint32 = 0x08000000
	FileSupportsPosixUnlinkRename  uint32 = 0x00000400
)

// FSVolumeInformation is FileFsVolumeInformation, [MS-FSCC] 2.5.
type FSVolumeInformation struct {
	VolumeCreationTime wire.Filetime
	VolumeSerialNumber uint32
	SupportsObjects    bool
	VolumeLabel        string
}

// Parse reads the structure.
func (i *FSVolumeInformation) Parse(b []byte) error {
	c := wire.Reader(b)
	i.VolumeCreationTime = c.Filetime()
	i.VolumeSerialNumber = c.Uint32()
	n := c.Uint32()
	i.SupportsObjects = c.Bool()
	c.Skip(1)
	i.VolumeLabel = c.StringAt(uint64(c.Pos()), uint64(n))
	return c.End()
}

// Append appends the structure.
func (i *FSVolumeInformation) Append(b []byte) []byte {
	b = wire.AppendFiletime(b, i.VolumeCreationTime)
	b = wire.Append32(b, i.VolumeSerialNumber)
	b = wire.Append32(b, uint32(wire.UTF16Len(i.VolumeLabel)))
	b = wire.AppendBool(b, i.SupportsObjects)
	b = wire.Append8(b, 0)
	return wire.AppendUTF16(b, i.VolumeLabel)
}

// FSAttributeInformation is FileFsAttributeInformation, [MS-FSCC] 2.5.
type FSAttributeInformation struct {
	Attributes                 uint32
	MaximumComponentNameLength uint32
	FileSystemName             string
}

// Parse reads the structure.
func (i *FSAttributeInformation) Parse(b []byte) error {
	c := wire.Reader(b)
	i.Attributes = c.Uint32()
	i.MaximumComponentNameLength = c.Uint32()
	n := c.Uint32()
	i.FileSystemName = c.StringAt(uint64(c.Pos()), uint64(n))
	return c.End()
}

// Append appends the structure.
func (i *FSAttributeInformation) Append(b []byte) []byte {
	b = wire.Append32(b, i.Attributes)
	b = wire.Append32(b, i.MaximumComponentNameLength)
	b = wire.Append32(b, uint32(wire.UTF16Len(i.FileSystemName)))
	return wire.AppendUTF16(b, i.FileSystemName)
}
