package server

import (
	"encoding/json"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"dittofs/gateway/export"
	"dittofs/gateway/lock"
	"dittofs/smbd/ntstatus"
	"dittofs/smbd/smb2"
)

// Durable opens, [MS-SMB2] 3.3.5.9.6 and 3.3.5.9.10. The counter decides which are durable, and for how long each waits for its client; what
// this process must know to open the file again lies with the counter too, so that the next process can.

// longest is the longest wait that a client may ask for.
const longest = 300 * time.Second

// durable is what an open was promised.
type durable struct {
	v2      bool
	guid    lock.GUID     // V2's CreateGuid
	timeout time.Duration // 0: not durable
}

func (d *durable) granted() bool { return d.timeout > 0 }

// answer is the response's create context. Persistent handles are for clusters: none is granted.
func (d *durable) answer(x *smb2.CreateResponseContexts) {
	switch {
	case !d.granted():
	case d.v2:
		x.DurableV2 = &smb2.DurableResponseV2{Timeout: uint32(d.timeout.Milliseconds())}
	default:
		x.Durable = true
	}
}

// mayBeDurable refuses create contexts that do not go together, [MS-SMB2] 3.3.5.9.6, .7, .10 and .12, and forgets those that the dialect does not know.
func mayBeDurable(c *conn, x *smb2.CreateContexts) error {
	if c.dialect < smb2.Dialect300 {
		x.DurableRequestV2, x.DurableReconnectV2 = nil, nil
	}
	v1, v2 := x.DurableRequest || x.DurableReconnect != nil, x.DurableRequestV2 != nil || x.DurableReconnectV2 != nil
	if v1 && v2 || x.DurableRequestV2 != nil && x.DurableReconnectV2 != nil {
		return ntstatus.InvalidParameter
	}
	return nil
}

// ofDurable asks for durability as the client did. Implementation specific: files only, not directories or named streams.
func (c *creation) ofDurable(o *open, req *lock.OpenRequest) {
	x, d := &c.q.Contexts, &o.durable
	o.sequence.now = c.r.ChannelSequence()
	if x.DurableRequestV2 != nil {
		o.createGUID = x.DurableRequestV2.CreateGUID
	}
	offered := c.s.s.cfg.Settings.SMB.Durable.D()
	switch {
	case offered <= 0, o.directory, o.stream != nil, c.s.identity.Load().anonymous, req.Kind == lock.NoCache:
		return
	case x.DurableRequestV2 != nil:
		*d = durable{v2: true, guid: x.DurableRequestV2.CreateGUID, timeout: offered}
		if asked := time.Duration(x.DurableRequestV2.Timeout) * time.Millisecond; asked > 0 {
			d.timeout = min(asked, longest)
		}
	case x.DurableRequest:
		*d = durable{timeout: offered}
	default:
		return
	}
	private, err := record(o)
	if err != nil {
		*d = durable{}
		return
	}
	req.Durable, req.CreateGuid, req.Private = d.timeout, d.guid, private
}

// memory is what is recorded of a durable open, besides what the counter knows.
type memory struct {
	Share      string
	HandleType int32
	Handle     []byte // the kernel's, name_to_handle_at(2): it stays valid when the file is renamed
	Access     smb2.AccessMask
	Options    smb2.CreateOptions
}

func record(o *open) ([]byte, error) {
	h, _, err := unix.NameToHandleAt(int(o.file.Fd()), "", unix.AT_EMPTY_PATH)
	if err != nil {
		return nil, err
	}
	return json.Marshal(memory{Share: o.tree.share.name, HandleType: h.Type(), Handle: h.Bytes(), Access: o.access, Options: o.options})
}

// recall opens the file of a durable open of another process. Whoever was granted the open has it, whatever the file's mode is by now.
func recall(o *open, m *memory) error {
	fd, err := unix.OpenByHandleAt(int(o.vol.root.Fd()), unix.NewFileHandle(m.HandleType, m.Handle), unix.O_PATH|unix.O_CLOEXEC)
	if err != nil {
		return err
	}
	o.file = os.NewFile(uintptr(fd), "durable")
	key, err := export.KeyOf(fd)
	if err != nil {
		return err
	}
	rel, ok := where(o.vol.root, o.file)
	if key != o.key || !ok || rel == "." {
		return unix.ESTALE
	}
	dir, name := splitPath(rel)
	if o.parent, err = openBeneath(o.vol.root, dir, unix.O_PATH|unix.O_DIRECTORY); err != nil {
		return err
	}
	o.name, o.path, o.access, o.options = name, rel, m.Access, m.Options
	reads, writes := o.access&readsData != 0, o.access&writesData != 0
	flags := unix.O_RDONLY
	switch {
	case !reads && !writes:
		return nil
	case reads && writes:
		flags = unix.O_RDWR
	case writes:
		flags = unix.O_WRONLY
	}
	place := o.file
	if fd, err = export.Reopen(int(place.Fd()), flags); err != nil {
		return err
	}
	o.file = os.NewFile(uintptr(fd), name)
	place.Close()
	return nil
}
