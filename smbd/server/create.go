package server

import (
	"context"
	"errors"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"dittofs/gateway/export"
	"dittofs/gateway/lock"
	"dittofs/smbd/dtyp"
	"dittofs/smbd/fscc"
	"dittofs/smbd/ntstatus"
	"dittofs/smbd/rpc"
	"dittofs/smbd/smb2"
	"dittofs/smbd/wire"
)

// CREATE, [MS-SMB2] 3.3.5.9 and [MS-FSA] 2.1.5.1: check the request (create_check.go), find the place (walk.go), make or open the file as
// the session's user (create_open.go), ask the counter once, and only when it has agreed truncate and answer.

// creation is one CREATE on its way.
type creation struct {
	r    *request
	q    *smb2.CreateRequest
	s    *session
	tree *tree
	vol  *volume

	parts  []string
	stream streamName
	eas    []fscc.EA
	asked  smb2.AccessMask // with generic rights mapped
	access smb2.AccessMask // what the open will have
	max    bool            // MAXIMUM_ALLOWED was asked for

	at         *place
	info       *info                    // of the file at the place
	admitted   export.Attr              // the file's, once the open counted: from then on they may be cached
	rights     verdict                  // its kept descriptor's
	above      *dtyp.SecurityDescriptor // the directory's, where it is kept and a name is made
	file       *os.File
	double     *double
	made       bool // by us
	madeStream bool
	action     smb2.CreateAction
	dir        lock.Key // the directory, where a name was made
	o          *open
}

// errAgain: the file went away while it was being opened; look again.
var errAgain = errors.New("the file is gone")

func create(ctx context.Context, r *request) (body reply, err error) {
	q := new(smb2.CreateRequest)
	if err := parse(q, r); err != nil {
		return nil, err
	}
	if r.tree.share.ipc {
		return createPipe(r, q)
	}
	if err := mayBeDurable(r.chain.c, &q.Contexts); err != nil {
		return nil, err
	}
	if q.Contexts.DurableReconnect != nil || q.Contexts.DurableReconnectV2 != nil {
		return reconnect(ctx, r, q)
	}
	c := &creation{r: r, q: q, s: r.session, tree: r.tree}
	if err := c.check(); err != nil {
		return nil, err
	}
	if d := q.Contexts.DurableRequestV2; d != nil {
		opens, id := &c.s.s.opens, createID{r.chain.c.client, d.CreateGUID}
		if o, known := opens.begin(id, r.Flags&smb2.FlagReplayOperation != 0); known {
			return c.again(ctx, o)
		}
		r.repeatable()
		defer func() {
			if err != nil {
				c.o = nil
			}
			opens.made(id, c.o)
		}()
	}
	for try := 0; ; try++ {
		body, err = c.once(ctx)
		if errors.Is(err, errAgain) && try < 5 {
			continue
		}
		if errors.Is(err, errAgain) {
			err = ntstatus.DeletePending
		}
		return body, err
	}
}

// createPipe opens a named pipe. [MS-SMB2] 3.3.5.9, the case of a pipe.
func createPipe(r *request, q *smb2.CreateRequest) (reply, error) {
	p, ok := rpc.NewPipe(q.Name, r.session.s.rpcInfo())
	if !ok {
		return nil, ntstatus.ObjectNameNotFound
	}
	if p.Private() && r.session.identity.Load().anonymous {
		return nil, ntstatus.AccessDenied // who is here is not for everybody
	}
	o := newOpen(r)
	o.number, o.pipe, o.access, o.name = random(), p, smb2.FileGenericRead|smb2.FileGenericWrite, strings.ToLower(q.Name)
	if err := r.session.add(o); err != nil {
		return nil, err
	}
	r.chain.open = &o.id
	return &smb2.CreateResponse{CreateAction: smb2.FileOpened, AllocationSize: 4096, FileAttributes: smb2.FileAttributeNormal, FileID: o.id}, nil
}

func newOpen(r *request) *open {
	return &open{session: r.session, conn: r.chain.c, tree: r.tree, users: map[*request]struct{}{}, ended: make(chan struct{}), announced: make(chan struct{})}
}

// once looks, opens and asks one time.
func (c *creation) once(ctx context.Context) (body reply, err error) {
	c.made, c.madeStream, c.file, c.double, c.at, c.info, c.o = false, false, nil, nil, nil, nil, nil
	c.access, c.rights, c.above = c.asked, nil, nil
	defer func() {
		if err != nil {
			c.undo(ctx)
		}
	}()
	err = c.s.as(c.vol, func() (err error) {
		if c.at, err = c.vol.find(c.parts); err == nil && c.q.CreateDisposition == smb2.FileCreate {
			c.at.composed(c.parts[len(c.parts)-min(1, len(c.parts)):])
		}
		return err
	})
	if err != nil {
		return nil, pathError(err)
	}
	switch {
	case c.at.file == nil:
		err = c.make()
	case c.stream.name != "":
		err = c.openStreamFile()
	default:
		err = c.openExisting()
	}
	if err != nil {
		return nil, err
	}
	if err = c.ask(ctx); err != nil {
		return nil, err
	}
	if err = c.settle(ctx); err != nil {
		return nil, err
	}
	if err = c.s.add(c.o); err != nil {
		return nil, err
	}
	c.s.s.metrics.opens.Inc()
	c.r.chain.open = &c.o.id
	c.tell(ctx)
	return c.answer()
}

// pathError: a way out of the tree is no way. openat2(2) says EXDEV for "..", an absolute link and whatever else leads out.
func pathError(err error) error {
	if err == unix.EXDEV || err == unix.ELOOP {
		return ntstatus.AccessDenied
	}
	return err
}

// undo leaves nothing of a CREATE that was refused: a file that it made goes again.
func (c *creation) undo(ctx context.Context) {
	ctx = context.WithoutCancel(ctx)
	if c.made {
		c.s.as(c.vol, func() error {
			if c.info != nil && c.info.isDir() {
				return export.Rmdir(int(c.at.parent.Fd()), c.at.name)
			}
			return export.Unlink(int(c.at.parent.Fd()), c.at.name)
		})
		c.tree.changed(ctx, c.named(lock.Removed), c.at.path)
	}
	if c.o != nil {
		if c.madeStream && !c.made {
			c.o.removeStream(ctx)
		}
		c.s.s.opens.remove(c.o)
		c.o.leave(ctx)
		c.double = c.o.double
	}
	c.double.close()
	if c.file != nil {
		c.file.Close()
	}
	if c.at != nil {
		c.at.close()
	}
}

// ask is the one question to the counter.
func (c *creation) ask(ctx context.Context) error {
	key, err := export.KeyOf(int(c.file.Fd()))
	if err != nil {
		return err
	}
	locks := c.s.s.locks
	o := newOpen(c.r)
	o.vol, o.key, o.directory, o.file, o.access, o.options = c.vol, key, c.info.isDir(), c.file, c.access, c.q.CreateOptions
	o.mode.Store(uint32(c.q.CreateOptions & modes))
	o.parent, o.name, o.path = c.at.parent, c.at.name, c.at.path
	if c.stream.name != "" {
		o.stream, o.double, o.directory = c.s.s.streams.use(key, c.stream.name), c.double, false
		o.key = o.stream.key
	}
	if c.made {
		o.dirKey = c.dir
	}
	c.o = o
	o.number = random() // it outlives this process
	o.owner = lock.Owner{Client: lock.Client{Door: lock.SMB, GUID: c.r.chain.c.client}, Session: c.s.id, Handle: o.number}
	req := lock.OpenRequest{
		Open: o.number, Key: o.key, Owner: o.owner, Directory: o.directory, Access: counterAccess(c.access), Share: counterShare(c.q.ShareAccess),
		Overwrite: !c.made && (c.overwrites() || o.stream != nil && c.truncates()), DeleteOnClose: c.q.CreateOptions&smb2.FileDeleteOnClose != 0,
		Path: o.path, User: c.s.who(),
	}
	if o.stream != nil {
		req.Path += ":" + c.stream.name
		if err := c.s.s.opens.lookers.ask(ctx, locks, o); err != nil {
			return err
		}
		if err := c.holdFile(ctx, o); err != nil {
			return err
		}
	}
	c.cache(o, &req)
	c.ofDurable(o, &req)
	o.action, o.app = c.action, c.ofApp()
	if err := c.relieve(ctx, o); err != nil {
		return err
	}
	c.s.s.opens.add(o) // before the question: a break may come as soon as it is answered
	if looks(o, &req) && c.s.s.opens.lookers.come(o, &req) {
		if c.made {
			c.tree.changed(ctx, c.named(lock.Added), o.path)
		}
		return c.stillThere()
	}
	if c.made {
		added := c.tree.changedHere(c.named(lock.Added), o.path)
		req.Made = &added
	}
	if err := c.s.s.opens.lookers.ask(ctx, locks, o); err != nil {
		return err
	}
	res, err := locks.Open(ctx, req, c.r.pend)
	if err != nil {
		return err
	}
	if res.Outcome != lock.Granted {
		return openRefused(res.Outcome)
	}
	o.asked, o.granted, o.epoch, o.breaking = true, res.Rights, res.Epoch, res.Breaking
	if res.Kind != lock.NoCache {
		o.kind = res.Kind
	}
	if !res.Durable {
		o.durable.timeout = 0
	}
	return c.stillThere()
}

// stillThere: whoever deleted the file held it until now.
func (c *creation) stillThere() (err error) {
	if c.admitted, err = export.Stat(int(c.file.Fd())); err != nil || c.admitted.Nlink == 0 {
		return errAgain
	}
	return nil
}

// settle does what had to wait for the counter's consent. [MS-FSA] 2.1.5.1.2.3.
func (c *creation) settle(ctx context.Context) error {
	if c.o.stream != nil {
		if err := c.settleStream(ctx); err != nil {
			return err
		}
	}
	if !c.made && c.overwrites() {
		truncate := func() error {
			f := c.file
			if !c.writable() {
				fd, err := export.Reopen(int(f.Fd()), unix.O_WRONLY)
				if err != nil {
					return err
				}
				f = os.NewFile(uintptr(fd), c.at.name)
				defer f.Close()
			}
			if err := export.Truncate(int(f.Fd()), 0); err != nil {
				return err
			}
			return c.removeStreams()
		}
		var err error
		if c.rights != nil { // which granted it
			err = truncate()
		} else {
			err = c.s.as(c.vol, truncate)
		}
		if err != nil {
			return err
		}
		if !c.s.s.streams.open(c.o.key, afpResource) {
			c.o.removeDouble(ctx)
		}
		if err := c.furnish(); err != nil {
			return err
		}
	}
	if a := &c.admitted; c.action == smb2.FileOpened && c.o.stream == nil && a.Ctime == c.info.ctime && (a.IsDir() || a.Size == c.info.size) {
		return nil
	}
	info, err := c.o.stat()
	if err == nil {
		c.info = info
	}
	return err
}

// furnish gives what was made or emptied the attributes that the client wants.
func (c *creation) furnish() error {
	a := c.q.FileAttributes | smb2.FileAttributeArchive
	if c.info.isDir() {
		a = c.q.FileAttributes
	}
	if told := a & (stored | smb2.FileAttributeReadonly); !c.made || told != c.info.defaultAttributes(c.at.name) {
		if err := setAttributes(c.file, c.at.name, a, wire.Filetime(0)); err != nil {
			c.r.chain.c.log.Debug("attributes not set", "path", c.at.path, "err", err)
		}
	}
	if n := c.q.Contexts.AllocationSize; n != nil && *n > 0 && *n < 1<<63 && c.info.isRegular() && c.writable() {
		if err := reserve(c.file, int64(*n)); err != nil {
			return err
		}
	}
	return setEAs(c.file, c.eas)
}

// named is the change of the name that the CREATE made.
func (c *creation) named(a lock.Action) lock.Change {
	n := c.s.named(c.dir, c.at.name, a, c.info != nil && c.info.isDir(), c.parentKey())
	if c.o != nil {
		n.Key = c.o.fileKey()
	}
	return n
}

// tell lets the others know what else happened.
func (c *creation) tell(ctx context.Context) {
	if c.madeStream {
		c.o.streamChanged(ctx, lock.AddedStream, c.o.stream.called(), smb2.NotifyChangeStreamName)
	}
	if !c.made && c.overwrites() {
		c.o.modified(ctx, smb2.NotifyChangeSize|smb2.NotifyChangeLastWrite|smb2.NotifyChangeAttributes, true)
	}
}

// created is what the response says of every open.
func created(o *open, i *info) *smb2.CreateResponse {
	return &smb2.CreateResponse{
		CreateAction: smb2.FileOpened, FileID: o.id, FileAttributes: i.attributes, AllocationSize: i.alloc, EndOfFile: i.size,
		CreationTime: wire.FiletimeOf(i.birth), LastAccessTime: wire.FiletimeOf(i.access),
		LastWriteTime: wire.FiletimeOf(i.write), ChangeTime: wire.FiletimeOf(i.change),
	}
}

func (c *creation) answer() (reply, error) {
	i, o := c.info, c.o
	a := created(o, i)
	a.CreateAction = c.action
	x := &c.q.Contexts
	if x.MaximalAccess != nil {
		a.Contexts.MaximalAccess = &smb2.MaximalAccess{Access: c.maximal()}
	}
	if x.QueryOnDiskID {
		a.Contexts.OnDiskID = &smb2.OnDiskID{DiskFileID: c.tree.fileID(i), VolumeID: c.vol.fsid}
	}
	if x.AAPL != nil {
		a.Contexts.AAPL = c.tree.answerAAPL(x.AAPL)
	}
	a.OplockLevel, a.Contexts.Lease = o.cached()
	o.durable.answer(&a.Contexts)
	c.r.after = append(c.r.after, func() { close(o.announced) })
	return a, nil
}
