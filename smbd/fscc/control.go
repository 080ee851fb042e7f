package fscc

import (
	"dittofs/smbd/smb2"
	"dittofs/smbd/wire"
)

// What the control codes carry, [MS-FSCC] 2.3.

// FileZeroDataInformation is FILE_ZERO_DATA_INFORMATION, 2.3.85.
type FileZeroDataInformation struct {
	FileOffset      uint64
	BeyondFinalZero uint64
}

// Parse reads the structure.
func (i *FileZeroDataInformation) Parse(b []byte) error {
	c := wire.Reader(b)
	i.FileOffset = c.Uint64()
	i.BeyondFinalZero = c.Uint64()
	return c.End()
}

// Append appends the structure.
func (i *FileZeroDataInformation) Append(b []byte) []byte {
	b = wire.Append64(b, i.FileOffset)
	return wire.Append64(b, i.BeyondFinalZero)
}

// FileAllocatedRange is FILE_ALLOCATED_RANGE_BUFFER, 2.3.52.
type FileAllocatedRange struct {
	FileOffset uint64
	Length     uint64
}

// Parse reads the structure.
func (i *FileAllocatedRange) Parse(b []byte) error {
	c := wire.Reader(b)
	i.FileOffset = c.Uint64()
	i.Length = c.Uint64()
	return c.End()
}

// Append appends the structure.
func (i *FileAllocatedRange) Append(b []byte) []byte {
	b = wire.Append64(b, i.FileOffset)
	return wire.Append64(b, i.Length)
}

// DuplicateExtentsData is DUPLICATE_EXTENTS_DATA, 2.3.8.
type DuplicateExtentsData struct {
	Source       smb2.FileID
	SourceOffset uint64
	TargetOffset uint64
	ByteCount    uint64
}

// Parse reads the structure.
func (i *DuplicateExtentsData) Parse(b []byte) error {
	c := wire.Reader(b)
	i.Source = smb2.FileID{Persistent: c.Uint64(), Volatile: c.Uint64()}
	i.SourceOffset = c.Uint64()
	i.TargetOffset = c.Uint64()
	i.ByteCount = c.Uint64()
	return c.End()
}

// Append appends the structure.
func (i *DuplicateExtentsData) Append(b []byte) []byte {
	b = wire.Append64(b, i.Source.Persistent)
	b = wire.Append64(b, i.Source.Volatile)
	b = wire.Append64(b, i.SourceOffset)
	b = wire.Append64(b, i.TargetOffset)
	return wire.Append64(b, i.ByteCount)
}

// FileLevelTrim is FILE_LEVEL_TRIM, 2.3.79.
type FileLevelTrim struct {
	Key    uint32
	Ranges []FileAllocatedRange
}

// Parse reads the structure.
func (i *FileLevelTrim) Parse(b []byte) error {
	c := wire.Reader(b)
	i.Key = c.Uint32()
	n := c.Uint32()
	i.Ranges = nil
	for ; n > 0 && c.Err() == nil; n-- {
		i.Ranges = append(i.Ranges, FileAllocatedRange{FileOffset: c.Uint64(), Length: c.Uint64()})
	}
	return c.End()
}

// Append appends the structure.
func (i *FileLevelTrim) Append(b []byte) []byte {
	b = wire.Append32(b, i.Key)
	b = wire.Append32(b, uint32(len(i.Ranges)))
	for _, r := range i.Ranges {
		b = r.Append(b)
	}
	return b
}

// FileObjectID is FILE_OBJECTID_BUFFER in its first form, 2.1.3.1.
type FileObjectID struct {
	ObjectID      [16]byte
	BirthVolumeID [16]byte
	BirthObjectID [16]byte
	DomainID      [16]byte
}

// Parse reads the structure.
func (i *FileObjectID) Parse(b []byte) error {
	c := wire.Reader(b)
	i.ObjectID = c.Bytes16()
	i.BirthVolumeID = c.Bytes16()
	i.BirthObjectID = c.Bytes16()
	i.DomainID = c.Bytes16()
	return c.End()
}

// Append appends the structure.
func (i *FileObjectID) Append(b []byte) []byte {
	b = append(b, i.ObjectID[:]...)
	b = append(b, i.BirthVolumeID[:]...)
	b = append(b, i.BirthObjectID[:]...)
	return append(b, i.DomainID[:]...)
}
