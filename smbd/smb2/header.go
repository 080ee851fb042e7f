package smb2

import (
	"errors"
	"fmt"

	"dittofs/smbd/ntstatus"
	"dittofs/smbd/wire"
)

// SMB2 Packet Header, [MS-SMB2] 2.2.1.

// HeaderSize is the header's length.
const HeaderSize = 64

// Where fields lie in a message.
const (
	OffsetStatus      = 8
	OffsetCredits     = 14
	OffsetFlags       = 16
	OffsetNextCommand = 20
	OffsetMessageID   = 24
	OffsetSessionID   = 40
	OffsetSignature   = 48
)

// Protocol ids: the first four bytes of a message.
const (
	ProtocolSMB1        = "\xFFSMB"
	ProtocolSMB2        = "\xFESMB"
	ProtocolTransform   = "\xFDSMB" // [MS-SMB2] 2.2.41
	ProtocolCompression = "\xFCSMB" // [MS-SMB2] 2.2.42
)

// ErrProtocol says that a message does not begin with an SMB2 header.
var ErrProtocol = errors.New("smb2: not an SMB2 message")

// Is reports whether a message begins with a protocol id.
func Is(msg []byte, protocol string) bool { return len(msg) >= 4 && string(msg[:4]) == protocol }

// Flags is the header's Flags.
type Flags uint32

// Header flags.
const (
	FlagServerToRedir     Flags = 0x00000001
	FlagAsyncCommand      Flags = 0x00000002
	FlagRelatedOperations Flags = 0x00000004
	FlagSigned            Flags = 0x00000008
	FlagPriorityMask      Flags = 0x00000070
	FlagDFSOperations     Flags = 0x10000000
	FlagReplayOperation   Flags = 0x20000000
)

// Header is both forms of the header: FlagAsyncCommand tells whether AsyncID stands in the place of Reserved and TreeID.
type Header struct {
	CreditCharge uint16
	Status       ntstatus.Status // in a request of 3.x: ChannelSequence
	Command      Command
	Credits      uint16 // CreditRequest or CreditResponse
	Flags        Flags
	NextCommand  uint32
	MessageID    uint64
	Reserved     uint32 // sync only; clients of old put a process id here
	TreeID       uint32 // sync only
	AsyncID      uint64 // async only
	SessionID    uint64
	Signature    [16]byte
}

// ChannelSequence is what Status means in a request of dialect 3.x.
func (h *Header) ChannelSequence() uint16 { return uint16(h.Status) }

// Parse reads the header of a message.
func (h *Header) Parse(b []byte) error {
	if len(b) < HeaderSize || !Is(b, ProtocolSMB2) {
		return ErrProtocol
	}
	c := wire.Reader(b)
	c.Skip(4)
	c.StructureSize(HeaderSize)
	h.CreditCharge = c.Uint16()
	h.Status = ntstatus.Status(c.Uint32())
	h.Command = Command(c.Uint16())
	h.Credits = c.Uint16()
	h.Flags = Flags(c.Uint32())
	h.NextCommand = c.Uint32()
	h.MessageID = c.Uint64()
	h.Reserved, h.TreeID, h.AsyncID = 0, 0, 0
	if h.Flags&FlagAsyncCommand != 0 {
		h.AsyncID = c.Uint64()
	} else {
		h.Reserved = c.Uint32()
		h.TreeID = c.Uint32()
	}
	h.SessionID = c.Uint64()
	h.Signature = c.Bytes16()
	return c.End()
}

// Append appends the header.
func (h *Header) Append(b []byte) []byte {
	b = append(b, ProtocolSMB2...)
	b = wire.Append16(b, HeaderSize)
	b = wire.Append16(b, h.CreditCharge)
	b = wire.Append32(b, uint32(h.Status))
	b = wire.Append16(b, uint16(h.Command))
	b = wire.Append16(b, h.Credits)
	b = wire.Append32(b, uint32(h.Flags))
	b = wire.Append32(b, h.NextCommand)
	b = wire.Append64(b, h.MessageID)
	if h.Flags&FlagAsyncCommand != 0 {
		b = wire.Append64(b, h.AsyncID)
	} else {
		b = wire.Append32(b, h.Reserved)
		b = wire.Append32(b, h.TreeID)
	}
	b = wire.Append64(b, h.SessionID)
	return append(b, h.Signature[:]...)
}

// String is a line for a trace.
func (h *Header) String() string {
	return fmt.Sprintf("%v mid=%d tree=%x session=%x status=%v flags=%x", h.Command, h.MessageID, h.TreeID, h.SessionID, h.Status, uint32(h.Flags))
}

// FileID is SMB2_FILEID, [MS-SMB2] 2.2.14.1.
type FileID struct{ Persistent, Volatile uint64 }

// AnyFileID stands for the file of the request before it in a related compound.
var AnyFileID = FileID{^uint64(0), ^uint64(0)}

func (f FileID) String() string { return fmt.Sprintf("%x.%x", f.Persistent, f.Volatile) }

func fileID(c *wire.Cursor) FileID {
	p := c.Uint64()
	return FileID{Persistent: p, Volatile: c.Uint64()}
}

func appendFileID(b []byte, f FileID) []byte {
	return wire.Append64(wire.Append64(b, f.Persistent), f.Volatile)
}
