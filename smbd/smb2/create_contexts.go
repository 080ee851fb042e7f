package smb2

import (
	"dittofs/smbd/ntstatus"
	"dittofs/smbd/wire"
)

// SMB2_CREATE_CONTEXT, [MS-SMB2] 2.2.13.2 and 2.2.14.2.

// Names of create contexts. Names of 16 bytes are GUIDs.
const (
	NameExtendedAttributes = "ExtA"
	NameSecurityDescriptor = "SecD"
	NameDurableRequest     = "DHnQ"
	NameDurableReconnect   = "DHnC"
	NameAllocationSize     = "AlSi"
	NameMaximalAccess      = "MxAc"
	NameTimeWarp           = "TWrp"
	NameQueryOnDiskID      = "QFid"
	NameLease              = "RqLs"
	NameDurableRequestV2   = "DH2Q"
	NameDurableReconnectV2 = "DH2C"
	NameAAPL               = "AAPL"
	NameAppInstanceID      = "\x45\xBC\xA6\x6A\xEF\xA7\xF7\x4A\x90\x08\xFA\x46\x2E\x14\x4D\x74"
	NameAppInstanceVersion = "\xB9\x82\xD0\xB7\x3B\x56\x07\x4F\xA0\x7B\x52\x4A\x81\x16\xA0\x10"
)

// CreateContext is a context as it lies in the list.
type CreateContext struct {
	Name string
	Data []byte
}

// LeaseKey names a lease among those of its client.
type LeaseKey [16]byte

// LeaseState is a set of caching rights.
type LeaseState uint32

// Lease states.
const (
	LeaseNone          LeaseState = 0
	LeaseReadCaching   LeaseState = 1
	LeaseHandleCaching LeaseState = 2
	LeaseWriteCaching  LeaseState = 4
)

// LeaseFlags belong to a lease in a request or an answer.
type LeaseFlags uint32

// Lease flags.
const (
	LeaseFlagBreakInProgress LeaseFlags = 2
	LeaseFlagParentKeySet    LeaseFlags = 4 // V2
)

// Lease is SMB2_CREATE_REQUEST_LEASE and its V2, 2.2.13.2.8 and 2.2.13.2.10; the answer has the same form.
type Lease struct {
	V2       bool // 52 bytes instead of 32; the fields below Duration
	Key      LeaseKey
	State    LeaseState
	Flags    LeaseFlags
	Duration uint64
	Parent   LeaseKey
	Epoch    uint16
}

func parseLease(data []byte) (*Lease, error) {
	c := wire.Reader(data)
	l := &Lease{V2: len(data) == 52, Key: c.Bytes16()}
	if !l.V2 && len(data) != 32 {
		return nil, wire.ErrValue
	}
	l.State = LeaseState(c.Uint32())
	l.Flags = LeaseFlags(c.Uint32())
	l.Duration = c.Uint64()
	if l.V2 {
		l.Parent = c.Bytes16()
		l.Epoch = c.Uint16()
	}
	return l, c.End()
}

func (l *Lease) append(b []byte) []byte {
	b = append(b, l.Key[:]...)
	b = wire.Append32(b, uint32(l.State))
	b = wire.Append32(b, uint32(l.Flags))
	b = wire.Append64(b, l.Duration)
	if l.V2 {
		b = append(b, l.Parent[:]...)
		b = wire.Append32(b, uint32(l.Epoch))
	}
	return b
}

// DurableFlagPersistent asks for, or grants, a persistent handle.
const DurableFlagPersistent uint32 = 2

// DurableRequestV2 is SMB2_CREATE_DURABLE_HANDLE_REQUEST_V2, 2.2.13.2.11.
type DurableRequestV2 struct {
	Timeout    uint32 // milliseconds
	Flags      uint32
	CreateGUID [16]byte
}

// DurableReconnectV2 is SMB2_CREATE_DURABLE_HANDLE_RECONNECT_V2, 2.2.13.2.12.
type DurableReconnectV2 struct {
	FileID     FileID
	CreateGUID [16]byte
	Flags      uint32
}

// AppInstanceVersion is SMB2_CREATE_APP_INSTANCE_VERSION, 2.2.13.2.15.
type AppInstanceVersion struct{ High, Low uint64 }

// Before reports whether v is older than w.
func (v AppInstanceVersion) Before(w *AppInstanceVersion) bool {
	return v.High < w.High || v.High == w.High && v.Low < w.Low
}

// CreateContexts are a request's. A nil or false field is absent.
type CreateContexts struct {
	ExtendedAttributes []byte // FILE_FULL_EA_INFORMATION, [MS-FSCC] 2.4.16
	SecurityDescriptor []byte // [MS-DTYP] 2.4.6
	DurableRequest     bool
	DurableReconnect   *FileID
	AllocationSize     *uint64
	MaximalAccess      *wire.Filetime // Timestamp; 0 where the client sent none
	TimeWarp           *wire.Filetime
	QueryOnDiskID      bool
	Lease              *Lease
	DurableRequestV2   *DurableRequestV2
	DurableReconnectV2 *DurableReconnectV2
	AAPL               []byte
	AppInstanceID      *[16]byte // 2.2.13.2.13
	AppInstanceVersion *AppInstanceVersion
	Unknown            []CreateContext
}

// A context that comes twice, or with a length that it cannot have, is a fault.
func (n *CreateContexts) parse(list []byte) error {
	seen := map[string]bool{}
	return eachContext(list, func(x CreateContext) error {
		if seen[x.Name] {
			return wire.ErrValue
		}
		seen[x.Name] = true
		return n.one(x)
	})
}

func (n *CreateContexts) one(x CreateContext) (err error) {
	c := wire.Reader(x.Data)
	size := len(x.Data) // what the context's length must be, where it is fixed
	switch x.Name {
	case NameExtendedAttributes:
		n.ExtendedAttributes = c.Rest()
	case NameSecurityDescriptor:
		n.SecurityDescriptor = c.Rest()
	case NameDurableRequest:
		size, n.DurableRequest = 16, true
	case NameDurableReconnect:
		id := fileID(&c)
		size, n.DurableReconnect = 16, &id
	case NameAllocationSize:
		v := c.Uint64()
		size, n.AllocationSize = 8, &v
	case NameMaximalAccess:
		var t wire.Filetime
		if size != 0 {
			t, size = c.Filetime(), 8
		}
		n.MaximalAccess = &t
	case NameTimeWarp:
		t := c.Filetime()
		size, n.TimeWarp = 8, &t
	case NameQueryOnDiskID:
		n.QueryOnDiskID = true
	case NameLease:
		n.Lease, err = parseLease(x.Data)
	case NameDurableRequestV2:
		d := &DurableRequestV2{Timeout: c.Uint32(), Flags: c.Uint32()}
		c.Skip(8)
		d.CreateGUID = c.Bytes16()
		size, n.DurableRequestV2 = 32, d
	case NameDurableReconnectV2:
		d := &DurableReconnectV2{FileID: fileID(&c), CreateGUID: c.Bytes16()}
		d.Flags = c.Uint32()
		size, n.DurableReconnectV2 = 36, d
	case NameAAPL:
		n.AAPL = c.Rest()
	case NameAppInstanceID:
		c.Skip(4) // StructureSize, Reserved
		id := c.Bytes16()
		size, n.AppInstanceID = 20, &id
	case NameAppInstanceVersion:
		c.Skip(8) // StructureSize, Reserved, Padding
		size, n.AppInstanceVersion = 24, &AppInstanceVersion{High: c.Uint64(), Low: c.Uint64()}
	default:
		n.Unknown = append(n.Unknown, x)
	}
	if size != len(x.Data) {
		return wire.ErrValue
	}
	if err != nil {
		return err
	}
	return c.End()
}

// append appends the list, for which b must end on 8 bytes of its message.
func (n *CreateContexts) append(b []byte) []byte {
	l := contextList{b: b, start: len(b)}
	if n.ExtendedAttributes != nil {
		l.add(NameExtendedAttributes, n.ExtendedAttributes)
	}
	if n.SecurityDescriptor != nil {
		l.add(NameSecurityDescriptor, n.SecurityDescriptor)
	}
	if n.DurableRequest {
		l.add(NameDurableRequest, make([]byte, 16))
	}
	if n.DurableReconnect != nil {
		l.add(NameDurableReconnect, appendFileID(nil, *n.DurableReconnect))
	}
	if n.AllocationSize != nil {
		l.add(NameAllocationSize, wire.Append64(nil, *n.AllocationSize))
	}
	if t := n.MaximalAccess; t != nil {
		var data []byte
		if *t != 0 {
			data = wire.AppendFiletime(nil, *t)
		}
		l.add(NameMaximalAccess, data)
	}
	if n.TimeWarp != nil {
		l.add(NameTimeWarp, wire.AppendFiletime(nil, *n.TimeWarp))
	}
	if n.QueryOnDiskID {
		l.add(NameQueryOnDiskID, nil)
	}
	if n.Lease != nil {
		l.add(NameLease, n.Lease.append(nil))
	}
	if d := n.DurableRequestV2; d != nil {
		data := wire.AppendZero(wire.Append32(wire.Append32(nil, d.Timeout), d.Flags), 8)
		l.add(NameDurableRequestV2, append(data, d.CreateGUID[:]...))
	}
	if d := n.DurableReconnectV2; d != nil {
		data := append(appendFileID(nil, d.FileID), d.CreateGUID[:]...)
		l.add(NameDurableReconnectV2, wire.Append32(data, d.Flags))
	}
	if n.AAPL != nil {
		l.add(NameAAPL, n.AAPL)
	}
	if id := n.AppInstanceID; id != nil {
		l.add(NameAppInstanceID, append(wire.Append16(nil, 20), append([]byte{0, 0}, id[:]...)...))
	}
	if v := n.AppInstanceVersion; v != nil {
		l.add(NameAppInstanceVersion, wire.Append64(wire.Append64(wire.AppendZero(wire.Append16(nil, 24), 6), v.High), v.Low))
	}
	for _, u := range n.Unknown {
		l.add(u.Name, u.Data)
	}
	return l.b
}

// MaximalAccess is SMB2_CREATE_QUERY_MAXIMAL_ACCESS_RESPONSE, 2.2.14.2.5.
type MaximalAccess struct {
	QueryStatus ntstatus.Status
	Access      AccessMask
}

// OnDiskID is SMB2_CREATE_QUERY_ON_DISK_ID, 2.2.14.2.9: two numbers and 16 reserved bytes.
type OnDiskID struct{ DiskFileID, VolumeID uint64 }

// DurableResponseV2 is SMB2_CREATE_DURABLE_HANDLE_RESPONSE_V2, 2.2.14.2.12.
type DurableResponseV2 struct {
	Timeout uint32 // milliseconds
	Flags   uint32
}

// CreateResponseContexts are a response's. A nil or false field is absent.
type CreateResponseContexts struct {
	Durable       bool // DHnQ
	MaximalAccess *MaximalAccess
	OnDiskID      *OnDiskID
	Lease         *Lease
	DurableV2     *DurableResponseV2 // DH2Q
	AAPL          []byte
	Unknown       []CreateContext
}

func (n *CreateResponseContexts) parse(list []byte) error {
	return eachContext(list, func(x CreateContext) (err error) {
		c := wire.Reader(x.Data)
		switch x.Name {
		case NameDurableRequest:
			n.Durable = true
			c.Skip(8)
		case NameMaximalAccess:
			n.MaximalAccess = &MaximalAccess{QueryStatus: ntstatus.Status(c.Uint32()), Access: AccessMask(c.Uint32())}
		case NameQueryOnDiskID:
			n.OnDiskID = &OnDiskID{DiskFileID: c.Uint64(), VolumeID: c.Uint64()}
			c.Skip(16)
		case NameLease:
			if n.Lease, err = parseLease(x.Data); err != nil {
				return err
			}
		case NameDurableRequestV2:
			n.DurableV2 = &DurableResponseV2{Timeout: c.Uint32(), Flags: c.Uint32()}
		case NameAAPL:
			n.AAPL = c.Rest()
		default:
			n.Unknown = append(n.Unknown, x)
		}
		return c.End()
	})
}

func (n *CreateResponseContexts) append(b []byte) []byte {
	l := contextList{b: b, start: len(b)}
	if n.Durable {
		l.add(NameDurableRequest, make([]byte, 8))
	}
	if m := n.MaximalAccess; m != nil {
		l.add(NameMaximalAccess, wire.Append32(wire.Append32(nil, uint32(m.QueryStatus)), uint32(m.Access)))
	}
	if d := n.OnDiskID; d != nil {
		l.add(NameQueryOnDiskID, wire.AppendZero(wire.Append64(wire.Append64(nil, d.DiskFileID), d.VolumeID), 16))
	}
	if n.Lease != nil {
		l.add(NameLease, n.Lease.append(nil))
	}
	if d := n.DurableV2; d != nil {
		l.add(NameDurableRequestV2, wire.Append32(wire.Append32(nil, d.Timeout), d.Flags))
	}
	if n.AAPL != nil {
		l.add(NameAAPL, n.AAPL)
	}
	for _, u := range n.Unknown {
		l.add(u.Name, u.Data)
	}
	return l.b
}

// eachContext walks a list. Every step goes forward by at least one context's 16 bytes, so the list's own length bounds the walk.
func eachContext(list []byte, f func(CreateContext) error) error {
	for len(list) > 0 {
		c := wire.Reader(list)
		next := uint64(c.Uint32())
		x := CreateContext{Name: string(at16(&c))}
		c.Skip(2)
		offset, length := c.Uint16(), c.Uint32()
		if next != 0 && (next%8 != 0 || next < 16 || next > uint64(len(list))) {
			return wire.ErrValue
		}
		if next != 0 && uint64(offset)+uint64(length) > next {
			return wire.ErrValue
		}
		x.Data = c.BufferAt(uint64(offset), uint64(length))
		if len(x.Name) < 4 {
			c.Fail(wire.ErrValue)
		}
		if err := c.End(); err != nil {
			return err
		}
		if err := f(x); err != nil {
			return err
		}
		if next == 0 {
			return nil
		}
		list = list[next:]
	}
	return nil
}

// contextList builds a list: names of 4 bytes at 16, data at the next 8 bytes.
type contextList struct {
	b     []byte
	start int // where the list begins
	last  int // where the last context begins; meaningless for the first
}

func (l *contextList) add(name string, data []byte) {
	if len(l.b) > l.start {
		l.b = wire.Pad(l.b, l.start, 8)
		wire.Put32(l.b[l.last:], uint32(len(l.b)-l.last))
	}
	l.last = len(l.b)
	at := (16 + len(name) + 7) &^ 7
	l.b = wire.AppendZero(l.b, 4)
	l.b = put16(l.b, 16, len(name))
	l.b = wire.AppendZero(l.b, 2)
	if len(data) == 0 {
		at = 0
	}
	l.b = wire.Append16(l.b, uint16(at))
	l.b = wire.Append32(l.b, uint32(len(data)))
	l.b = append(l.b, name...)
	l.b = wire.Pad(l.b, l.last, 8)
	l.b = append(l.b, data...)
}
