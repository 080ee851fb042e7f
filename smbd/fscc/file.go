package fscc

import (
	"dittofs/smbd/smb2"
	"dittofs/smbd/wire"
)

// File information of fixed length, [MS-FSCC] 2.4: one structure per class.

// FileBasicInformation, [MS-FSCC] 2.4.
type FileBasicInformation struct {
	CreationTime   wire.Filetime
	LastAccessTime wire.Filetime
	LastWriteTime  wire.Filetime
	ChangeTime     wire.Filetime
	FileAttributes smb2.FileAttributes
}

// Parse reads the structure.
func (i *FileBasicInformation) Parse(b []byte) error {
	c := wire.Reader(b)
	i.CreationTime = c.Filetime()
	i.LastAccessTime = c.Filetime()
	i.LastWriteTime = c.Filetime()
	i.ChangeTime = c.Filetime()
	i.FileAttributes = smb2.FileAttributes(c.Uint32())
	c.Skip(4)
	return c.End()
}

// Append appends the structure.
func (i *FileBasicInformation) Append(b []byte) []byte {
	b = wire.AppendFiletime(b, i.CreationTime)
	b = wire.AppendFiletime(b, i.LastAccessTime)
	b = wire.AppendFiletime(b, i.LastWriteTime)
	b = wire.AppendFiletime(b, i.ChangeTime)
	b = wire.Append32(b, uint32(i.FileAttributes))
	return wire.AppendZero(b, 4)
}

// FileStandardInformation, [MS-FSCC] 2.4.
type FileStandardInformation struct {
	AllocationSize uint64
	EndOfFile      uint64
	NumberOfLinks  uint32
	DeletePending  bool
	Directory      bool
}

// Parse reads the structure.
func (i *FileStandardInformation) Parse(b []byte) error {
	c := wire.Reader(b)
	i.AllocationSize = c.Uint64()
	i.EndOfFile = c.Uint64()
	i.NumberOfLinks = c.Uint32()
	i.DeletePending = c.Bool()
	i.Directory = c.Bool()
	c.Skip(2)
	return c.End()
}

// Append appends the structure.
func (i *FileStandardInformation) Append(b []byte) []byte {
	b = wire.Append64(b, i.AllocationSize)
	b = wire.Append64(b, i.EndOfFile)
	b = wire.Append32(b, i.NumberOfLinks)
	b = wire.AppendBool(b, i.DeletePending)
	b = wire.AppendBool(b, i.Directory)
	return wire.AppendZero(b, 2)
}

// FileInternalInformation, [MS-FSCC] 2.4.
type FileInternalInformation struct {
	IndexNumber uint64
}

// Parse reads the structure.
func (i *FileInternalInformation) Parse(b []byte) error {
	c := wire.Reader(b)
	i.IndexNumber = c.Uint64()
	return c.End()
}

// Append appends the structure.
func (i *FileInternalInformation) Append(b []byte) []byte {
	return wire.Append64(b, i.IndexNumber)
}

// FileEaInformation, [MS-FSCC] 2.4.
type FileEaInformation struct {
	EaSize uint32
}

// Parse reads the structure.
func (i *FileEaInformation) Parse(b []byte) error {
	c := wire.Reader(b)
	i.EaSize = c.Uint32()
	return c.End()
}

// Append appends the structure.
func (i *FileEaInformation) Append(b []byte) []byte {
	return wire.Append32(b, i.EaSize)
}

// FileAccessInformation, [MS-FSCC] 2.4.
type FileAccessInformation struct {
	AccessFlags smb2.AccessMask
}

// Parse reads the structure.
func (i *FileAccessInformation) Parse(b []byte) error {
	c := wire.Reader(b)
	i.AccessFlags = smb2.AccessMask(c.Uint32())
	return c.End()
}

// Append appends the structure.
func (i *FileAccessInformation) Append(b []byte) []byte {
	return wire.Append32(b, uint32(i.AccessFlags))
}

// FilePositionInformation, [MS-FSCC] 2.4.
type FilePositionInformation struct {
	CurrentByteOffset uint64
}

// Parse reads the structure.
func (i *FilePositionInformation) Parse(b []byte) error {
	c := wire.Reader(b)
	i.CurrentByteOffset = c.Uint64()
	return c.End()
}

// Append appends the structure.
func (i *FilePositionInformation) Append(b []byte) []byte {
	return wire.Append64(b, i.CurrentByteOffset)
}

// FileModeInformation, [MS-FSCC] 2.4.
type FileModeInformation struct {
	Mode smb2.CreateOptions
}

// Parse reads the structure.
func (i *FileModeInformation) Parse(b []byte) error {
	c := wire.Reader(b)
	i.Mode = smb2.CreateOptions(c.Uint32())
	return c.End()
}

// Append appends the structure.
func (i *FileModeInformation) Append(b []byte) []byte {
	return wire.Append32(b, uint32(i.Mode))
}

// FileAlignmentInformation, [MS-FSCC] 2.4.
type FileAlignmentInformation struct {
	AlignmentRequirement uint32
}

// Parse reads the structure.
func (i *FileAlignmentInformation) Parse(b []byte) error {
	c := wire.Reader(b)
	i.AlignmentRequirement = c.Uint32()
	return c.End()
}

// Append appends the structure.
func (i *FileAlignmentInformation) Append(b []byte) []byte {
	return wire.Append32(b, i.AlignmentRequirement)
}

// FileAllocationInformation, [MS-FSCC] 2.4.
type FileAllocationInformation struct {
	AllocationSize uint64
}

// Parse reads the structure.
func (i *FileAllocationInformation) Parse(b []byte) error {
	c := wire.Reader(b)
	i.AllocationSize = c.Uint64()
	return c.End()
}

// Append appends the structure.
func (i *FileAllocationInformation) Append(b []byte) []byte {
	return wire.Append64(b, i.AllocationSize)
}

// FileEndOfFileInformation, [MS-FSCC] 2.4.
type FileEndOfFileInformation struct {
	EndOfFile uint64
}

// Parse reads the structure.
func (i *FileEndOfFileInformation) Parse(b []byte) error {
	c := wire.Reader(b)
	i.EndOfFile = c.Uint64()
	return c.End()
}

// Append appends the structure.
func (i *FileEndOfFileInformation) Append(b []byte) []byte {
	return wire.Append64(b, i.EndOfFile)
}

// FileValidDataLengthInformation, [MS-FSCC] 2.4.
type FileValidDataLengthInformation struct {
	ValidDataLength uint64
}

// Parse reads the structure.
func (i *FileValidDataLengthInformation) Parse(b []byte) error {
	c := wire.Reader(b)
	i.ValidDataLength = c.Uint64()
	return c.End()
}

// Append appends the structure.
func (i *FileValidDataLengthInformation) Append(b []byte) []byte {
	return wire.Append64(b, i.ValidDataLength)
}

// FilePipeInformation, [MS-FSCC] 2.4.
type FilePipeInformation struct {
	ReadMode       uint32
	CompletionMode uint32
}

// Parse reads the structure.
func (i *FilePipeInformation) Parse(b []byte) error {
	c := wire.Reader(b)
	i.ReadMode = c.Uint32()
	i.CompletionMode = c.Uint32()
	return c.End()
}

// Append appends the structure.
func (i *FilePipeInformation) Append(b []byte) []byte {
	b = wire.Append32(b, i.ReadMode)
	return wire.Append32(b, i.CompletionMode)
}

// FilePipeLocalInformation, [MS-FSCC] 2.4.
type FilePipeLocalInformation struct {
	NamedPipeType          uint32
	NamedPipeConfiguration uint32
	MaximumInstances       uint32
	CurrentInstances       uint32
	InboundQuota           uint32
	ReadDataAvailable      uint32
	OutboundQuota          uint32
	WriteQuotaAvailable    uint32
	NamedPipeState         uint32
	NamedPipeEnd           uint32
}

// Parse reads the structure.
func (i *FilePipeLocalInformation) Parse(b []byte) error {
	c := wire.Reader(b)
	i.NamedPipeType = c.Uint32()
	i.NamedPipeConfiguration = c.Uint32()
	i.MaximumInstances = c.Uint32()
	i.CurrentInstances = c.Uint32()
	i.InboundQuota = c.Uint32()
	i.ReadDataAvailable = c.Uint32()
	i.OutboundQuota = c.Uint32()
	i.WriteQuotaAvailable = c.Uint32()
	i.NamedPipeState = c.Uint32()
	i.NamedPipeEnd = c.Uint32()
	return c.End()
}

// Append appends the structure.
func (i *FilePipeLocalInformation) Append(b []byte) []byte {
	b = wire.Append32(b, i.NamedPipeType)
	b = wire.Append32(b, i.NamedPipeConfiguration)
	b = wire.Append32(b, i.MaximumInstances)
	b = wire.Append32(b, i.CurrentInstances)
	b = wire.Append32(b, i.InboundQuota)
	b = wire.Append32(b, i.ReadDataAvailable)
	b = wire.Append32(b, i.OutboundQuota)
	b = wire.Append32(b, i.WriteQuotaAvailable)
	b = wire.Append32(b, i.NamedPipeState)
	return wire.Append32(b, i.NamedPipeEnd)
}

// FileCompressionInformation, [MS-FSCC] 2.4.
type FileCompressionInformation struct {
	CompressedFileSize   uint64
	CompressionFormat    uint16
	CompressionUnitShift uint8
	ChunkShift           uint8
	ClusterShift         uint8
}

// Parse reads the structure.
func (i *FileCompressionInformation) Parse(b []byte) error {
	c := wire.Reader(b)
	i.CompressedFileSize = c.Uint64()
	i.CompressionFormat = c.Uint16()
	i.CompressionUnitShift = c.Uint8()
	i.ChunkShift = c.Uint8()
	i.ClusterShift = c.Uint8()
	c.Skip(3)
	return c.End()
}

// Append appends the structure.
func (i *FileCompressionInformation) Append(b []byte) []byte {
	b = wire.Append64(b, i.CompressedFileSize)
	b = wire.Append16(b, i.CompressionFormat)
	b = wire.Append8(b, i.CompressionUnitShift)
	b = wire.Append8(b, i.ChunkShift)
	b = wire.Append8(b, i.ClusterShift)
	return wire.AppendZero(b, 3)
}

// FileNetworkOpenInformation, [MS-FSCC] 2.4.
type FileNetworkOpenInformation struct {
	CreationTime   wire.Filetime
	LastAccessTime wire.Filetime
	LastWriteTime  wire.Filetime
	ChangeTime     wire.Filetime
	AllocationSize uint64
	EndOfFile      uint64
	FileAttributes smb2.FileAttributes
}

// Parse reads the structure.
func (i *FileNetworkOpenInformation) Parse(b []byte) error {
	c := wire.Reader(b)
	i.CreationTime = c.Filetime()
	i.LastAccessTime = c.Filetime()
	i.LastWriteTime = c.Filetime()
	i.ChangeTime = c.Filetime()
	i.AllocationSize = c.Uint64()
	i.EndOfFile = c.Uint64()
	i.FileAttributes = smb2.FileAttributes(c.Uint32())
	c.Skip(4)
	return c.End()
}

// Append appends the structure.
func (i *FileNetworkOpenInformation) Append(b []byte) []byte {
	b = wire.AppendFiletime(b, i.CreationTime)
	b = wire.AppendFiletime(b, i.LastAccessTime)
	b = wire.AppendFiletime(b, i.LastWriteTime)
	b = wire.AppendFiletime(b, i.ChangeTime)
	b = wire.Append64(b, i.AllocationSize)
	b = wire.Append64(b, i.EndOfFile)
	b = wire.Append32(b, uint32(i.FileAttributes))
	return wire.AppendZero(b, 4)
}

// FileAttributeTagInformation, [MS-FSCC] 2.4.
type FileAttributeTagInformation struct {
	FileAttributes smb2.FileAttributes
	ReparseTag     uint32
}

// Parse reads the structure.
func (i *FileAttributeTagInformation) Parse(b []byte) error {
	c := wire.Reader(b)
	i.FileAttributes = smb2.FileAttributes(c.Uint32())
	i.ReparseTag = c.Uint32()
	return c.End()
}

// Append appends the structure.
func (i *FileAttributeTagInformation) Append(b []byte) []byte {
	b = wire.Append32(b, uint32(i.FileAttributes))
	return wire.Append32(b, i.ReparseTag)
}

// FileIDInformation is FileIdInformation, [MS-FSCC] 2.4.
type FileIDInformation struct {
	VolumeSerialNumber uint64
	FileID             [16]byte
}

// Parse reads the structure.
func (i *FileIDInformation) Parse(b []byte) error {
	c := wire.Reader(b)
	i.VolumeSerialNumber = c.Uint64()
	i.FileID = c.Bytes16()
	return c.End()
}

// Append appends the structure.
func (i *FileIDInformation) Append(b []byte) []byte {
	b = wire.Append64(b, i.VolumeSerialNumber)
	return append(b, i.FileID[:]...)
}

// FileDispositionInformation, [MS-FSCC] 2.4.
type FileDispositionInformation struct {
	DeletePending bool
}

// Parse reads the structure.
func (i *FileDispositionInformation) Parse(b []byte) error {
	c := wire.Reader(b)
	i.DeletePending = c.Bool()
	return c.End()
}

// Append appends the structure.
func (i *FileDispositionInformation) Append(b []byte) []byte {
	return wire.AppendBool(b, i.DeletePending)
}

// FileDispositionInformationEx, [MS-FSCC] 2.4.
type FileDispositionInformationEx struct {
	Flags uint32
}

// Parse reads the structure.
func (i *FileDispositionInformationEx) Parse(b []byte) error {
	c := wire.Reader(b)
	i.Flags = c.Uint32()
	return c.End()
}

// Append appends the structure.
func (i *FileDispositionInformationEx) Append(b []byte) []byte {
	return wire.Append32(b, i.Flags)
}
