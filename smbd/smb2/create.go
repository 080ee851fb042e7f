package smb2

import (
	"fmt"

	"dittofs/smbd/wire"
)

// SMB2 CREATE, [MS-SMB2] 2.2.13 and 2.2.14.

// OplockLevel is the level of an oplock, or the mark of a lease.
type OplockLevel uint8

// Oplock levels.
const (
	OplockNone      OplockLevel = 0x00
	OplockII        OplockLevel = 0x01
	OplockExclusive OplockLevel = 0x08
	OplockBatch     OplockLevel = 0x09
	OplockLease     OplockLevel = 0xFF
)

// ImpersonationLevel is how far the server may act for the client.
type ImpersonationLevel uint32

// Impersonation levels. Others answer STATUS_BAD_IMPERSONATION_LEVEL.
const (
	Anonymous ImpersonationLevel = iota
	Identification
	Impersonation
	Delegate
)

// CreateDisposition is what to do where the name exists or doesn't.
type CreateDisposition uint32

// Create dispositions.
const (
	FileSupersede CreateDisposition = iota
	FileOpen
	FileCreate
	FileOpenIf
	FileOverwrite
	FileOverwriteIf
)

// String is the standard's name.
func (d CreateDisposition) String() string {
	names := [...]string{"FILE_SUPERSEDE", "FILE_OPEN", "FILE_CREATE", "FILE_OPEN_IF", "FILE_OVERWRITE", "FILE_OVERWRITE_IF"}
	if int64(d) < int64(len(names)) {
		return names[d]
	}
	return fmt.Sprintf("disposition(%d)", uint32(d))
}

// CreateOptions are options of CREATE.
type CreateOptions uint32

// Create options.
const (
	FileDirectoryFile           CreateOptions = 0x00000001
	FileWriteThrough            CreateOptions = 0x00000002
	FileSequentialOnly          CreateOptions = 0x00000004
	FileNoIntermediateBuffering CreateOptions = 0x00000008
	FileSynchronousIOAlert      CreateOptions = 0x00000010
	FileSynchronousIONonalert   CreateOptions = 0x00000020
	FileNonDirectoryFile        CreateOptions = 0x00000040
	FileCompleteIfOplocked      CreateOptions = 0x00000100
	FileNoEAKnowledge           CreateOptions = 0x00000200
	FileOpenRemoteInstance      CreateOptions = 0x00000400
	FileRandomAccess            CreateOptions = 0x00000800
	FileDeleteOnClose           CreateOptions = 0x00001000
	FileOpenByFileID            CreateOptions = 0x00002000
	FileOpenForBackupIntent     CreateOptions = 0x00004000
	FileNoCompression           CreateOptions = 0x00008000
	FileOpenRequiringOplock     CreateOptions = 0x00010000
	FileDisallowExclusive       CreateOptions = 0x00020000
	FileReserveOpfilter         CreateOptions = 0x00100000
	FileOpenReparsePoint        CreateOptions = 0x00200000
	FileOpenNoRecall            CreateOptions = 0x00400000
	FileOpenForFreeSpaceQuery   CreateOptions = 0x00800000
)

// CreateAction is what CREATE did.
type CreateAction uint32

// Create actions.
const (
	FileSuperseded CreateAction = iota
	FileOpened
	FileCreated
	FileOverwritten
)

// CreateRequest is the CREATE request.
type CreateRequest struct {
	RequestedOplockLevel OplockLevel
	ImpersonationLevel   ImpersonationLevel
	DesiredAccess        AccessMask
	FileAttributes       FileAttributes
	ShareAccess          ShareAccess
	CreateDisposition    CreateDisposition
	CreateOptions        CreateOptions
	Name                 string // relative to the share, components parted by \
	Contexts             CreateContexts
}

// Parse reads a CREATE request.
func (r *CreateRequest) Parse(b []byte) error {
	c := body(b, 57)
	c.Skip(1) // SecurityFlags
	r.RequestedOplockLevel = OplockLevel(c.Uint8())
	r.ImpersonationLevel = ImpersonationLevel(c.Uint32())
	c.Skip(16) // SmbCreateFlags, Reserved
	r.DesiredAccess = AccessMask(c.Uint32())
	r.FileAttributes = FileAttributes(c.Uint32())
	r.ShareAccess = ShareAccess(c.Uint32())
	r.CreateDisposition = CreateDisposition(c.Uint32())
	r.CreateOptions = CreateOptions(c.Uint32())
	offset, length := c.Uint16(), c.Uint16()
	list := at32(&c)
	r.Name = c.StringAt(uint64(offset), uint64(length))
	if c.Err() != nil {
		return c.End()
	}
	r.Contexts = CreateContexts{}
	return r.Contexts.parse(list)
}

// Append appends the body.
func (r *CreateRequest) Append(b []byte) []byte {
	start := len(b) - HeaderSize
	b = wire.Append16(b, 57)
	b = append(b, 0, uint8(r.RequestedOplockLevel))
	b = wire.Append32(b, uint32(r.ImpersonationLevel))
	b = wire.AppendZero(b, 16)
	b = wire.Append32(b, uint32(r.DesiredAccess))
	b = wire.Append32(b, uint32(r.FileAttributes))
	b = wire.Append32(b, uint32(r.ShareAccess))
	b = wire.Append32(b, uint32(r.CreateDisposition))
	b = wire.Append32(b, uint32(r.CreateOptions))
	b = wire.Append16(b, HeaderSize+56) // checked by servers even for an empty name
	b = wire.Append16(b, uint16(wire.UTF16Len(r.Name)))
	at := len(b)
	b = wire.AppendZero(b, 8)
	b = wire.AppendUTF16(b, r.Name)
	if list := r.Contexts.append(nil); len(list) > 0 {
		b = wire.Pad(b, start, 8)
		wire.Put32(b[at:], uint32(len(b)-start))
		wire.Put32(b[at+4:], uint32(len(list)))
		return append(b, list...)
	}
	if r.Name == "" {
		b = append(b, 0) // the buffer has at least one byte
	}
	return b
}

// CreateFlagReparsePoint says that the last part of the name is a reparse point. 3.x.
const CreateFlagReparsePoint uint8 = 1

// CreateResponse is the CREATE response.
type CreateResponse struct {
	OplockLevel    OplockLevel
	Flags          uint8
	CreateAction   CreateAction
	CreationTime   wire.Filetime
	LastAccessTime wire.Filetime
	LastWriteTime  wire.Filetime
	ChangeTime     wire.Filetime
	AllocationSize uint64
	EndOfFile      uint64
	FileAttributes FileAttributes
	FileID         FileID
	Contexts       CreateResponseContexts
}

// Parse reads a CREATE response.
func (r *CreateResponse) Parse(b []byte) error {
	c := body(b, 89)
	r.OplockLevel = OplockLevel(c.Uint8())
	r.Flags = c.Uint8()
	r.CreateAction = CreateAction(c.Uint32())
	r.CreationTime = c.Filetime()
	r.LastAccessTime = c.Filetime()
	r.LastWriteTime = c.Filetime()
	r.ChangeTime = c.Filetime()
	r.AllocationSize = c.Uint64()
	r.EndOfFile = c.Uint64()
	r.FileAttributes = FileAttributes(c.Uint32())
	c.Skip(4)
	r.FileID = fileID(&c)
	list := at32(&c)
	if c.Err() != nil {
		return c.End()
	}
	r.Contexts = CreateResponseContexts{}
	return r.Contexts.parse(list)
}

// Append appends the body.
func (r *CreateResponse) Append(b []byte) []byte {
	b = wire.Append16(b, 89)
	b = append(b, uint8(r.OplockLevel), r.Flags)
	b = wire.Append32(b, uint32(r.CreateAction))
	b = wire.AppendFiletime(b, r.CreationTime)
	b = wire.AppendFiletime(b, r.LastAccessTime)
	b = wire.AppendFiletime(b, r.LastWriteTime)
	b = wire.AppendFiletime(b, r.ChangeTime)
	b = wire.Append64(b, r.AllocationSize)
	b = wire.Append64(b, r.EndOfFile)
	b = wire.Append32(b, uint32(r.FileAttributes))
	b = wire.AppendZero(b, 4)
	b = appendFileID(b, r.FileID)
	at := len(b)
	b = wire.AppendZero(b, 8)
	body := len(b)
	b = r.Contexts.append(b)
	if n := len(b) - body; n > 0 {
		wire.Put32(b[at:], HeaderSize+88)
		wire.Put32(b[at+4:], uint32(n))
	}
	return b
}
