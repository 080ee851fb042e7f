package lock

import "fmt"

// Door is the way in that an owner used.
type Door uint8

// The doors. NFS owns only Access (I/O without an open); what NFS clients lock is owned by NLM.
const (
	NLM Door = iota + 1
	SMB
	Local
	NFS
)

// String names the door as the admin commands print it.
func (d Door) String() string {
	switch d {
	case NLM:
		return "nlm"
	case SMB:
		return "smb"
	case Local:
		return "local"
	case NFS:
		return "nfs"
	}
	return fmt.Sprintf("door(%d)", uint8(d))
}

// GUID is an [MS-SMB2] ClientGuid, LeaseKey or CreateGuid in wire order.
type GUID [16]byte

// IsZero reports whether g is all zero.
func (g GUID) IsZero() bool { return g == GUID{} }

func (g GUID) String() string { return fmt.Sprintf("%x", [16]byte(g)) }

// Client is what lives and dies as one: an NLM host, an SMB client, the local mount. Comparable.
type Client struct {
	Door Door
	Name string // NLM: caller_name, at most 1,024 bytes; NFS: the client's address; else empty
	GUID GUID   // SMB: ClientGuid (zero for dialect 2.0.2); else zero
}

func (c Client) String() string {
	switch c.Door {
	case SMB:
		return "smb:" + c.GUID.String()
	case Local:
		return "local"
	}
	return c.Door.String() + ":" + c.Name
}

// Owner is who holds a range or an open. Owners are compared field by field and never parsed.
//
//	NLM    Client.Name = caller_name, PID = svid, OH = oh            X/Open NLM, nlm4_lock
//	SMB    Client.GUID = ClientGuid, Session = SessionId, Handle = the open, chosen by smbd
//	Local  PID = the caller's process for people only, Handle = the kernel's lock owner or the open's number
//	NFS    Client.Name = address, PID = uid
type Owner struct {
	Client  Client
	Session uint64
	Handle  uint64
	PID     int32
	OH      string // opaque bytes, at most 1,024
}

// String prints o for people: nlm:host:svid:oh, smb:guid:session:open, local:pid:owner.
func (o Owner) String() string {
	switch o.Client.Door {
	case SMB:
		return fmt.Sprintf("%v:%x:%x", o.Client, o.Session, o.Handle)
	case Local:
		return fmt.Sprintf("local:%d:%x", o.PID, o.Handle)
	case NLM:
		return fmt.Sprintf("%v:%d:%x", o.Client, o.PID, o.OH)
	}
	return fmt.Sprintf("%v:%d", o.Client, o.PID)
}
