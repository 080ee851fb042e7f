package smb2

import "dittofs/smbd/wire"

// The AAPL create context: how a Mac and a server find out that both know Apple's extensions. There is no standard; names and numbers are
// those that Apple's published SMB client uses.

// Commands of the context.
const (
	AAPLServerQuery uint32 = 1
	AAPLResolveID   uint32 = 2
)

// What a server query asks for.
const (
	AAPLServerCaps uint64 = 1
	AAPLVolumeCaps uint64 = 2
	AAPLModelInfo  uint64 = 4
)

// Capabilities of client and server.
const (
	AAPLReadDirAttr uint64 = 1 // directory entries carry what the Finder wants to know
	AAPLCopyFile    uint64 = 2 // FSCTL_SRV_COPYCHUNK without chunks copies the whole file
	AAPLUnixBased   uint64 = 4
	AAPLNFSACE      uint64 = 8 // security descriptors carry owner, group and mode
)

// Capabilities of a volume.
const (
	AAPLCaseSensitive uint64 = 2
	AAPLFullSync      uint64 = 4 // FLUSH may ask that the data is on the medium
)

// AAPLQuery is the client's context.
type AAPLQuery struct {
	Command    uint32
	Bitmap     uint64
	ClientCaps uint64
}

// Parse reads the context's data.
func (q *AAPLQuery) Parse(b []byte) error {
	c := wire.Reader(b)
	q.Command = c.Uint32()
	c.Skip(4)
	q.Bitmap = c.Uint64()
	q.ClientCaps = c.Uint64()
	return c.End()
}

// Append appends the context's data.
func (q *AAPLQuery) Append(b []byte) []byte {
	b = wire.AppendZero(wire.Append32(b, q.Command), 4)
	b = wire.Append64(b, q.Bitmap)
	return wire.Append64(b, q.ClientCaps)
}

// AAPLAnswer is the server's answer to a server query; the bitmap says which of the rest are there.
type AAPLAnswer struct {
	Bitmap     uint64
	ServerCaps uint64
	VolumeCaps uint64
	Model      string
}

// Parse reads the context's data.
func (a *AAPLAnswer) Parse(b []byte) error {
	c := wire.Reader(b)
	if c.Uint32() != AAPLServerQuery {
		c.Fail(wire.ErrValue)
	}
	c.Skip(4)
	a.Bitmap = c.Uint64()
	if a.Bitmap&AAPLServerCaps != 0 {
		a.ServerCaps = c.Uint64()
	}
	if a.Bitmap&AAPLVolumeCaps != 0 {
		a.VolumeCaps = c.Uint64()
	}
	if a.Bitmap&AAPLModelInfo != 0 {
		c.Skip(4)
		a.Model = c.String(int(c.Uint32()))
	}
	return c.End()
}

// Append appends the context's data.
func (a *AAPLAnswer) Append(b []byte) []byte {
	b = wire.AppendZero(wire.Append32(b, AAPLServerQuery), 4)
	b = wire.Append64(b, a.Bitmap)
	if a.Bitmap&AAPLServerCaps != 0 {
		b = wire.Append64(b, a.ServerCaps)
	}
	if a.Bitmap&AAPLVolumeCaps != 0 {
		b = wire.Append64(b, a.VolumeCaps)
	}
	if a.Bitmap&AAPLModelInfo != 0 {
		b = wire.AppendZero(b, 4)
		b = wire.Append32(b, uint32(wire.UTF16Len(a.Model)))
		b = wire.AppendUTF16(b, a.Model)
	}
	return b
}
