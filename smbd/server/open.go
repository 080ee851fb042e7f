package server

import (
	"context"
	"os"
	"sync"
	"sync/atomic"

	"dittofs/gateway/lock"
	"dittofs/smbd/ntstatus"
	"dittofs/smbd/rpc"
	"dittofs/smbd/smb2"
)

// open is an Open, [MS-SMB2] 3.3.1.10. Who else may open the file, and what may be cached, the counter knows; here is what was granted.
type open struct {
	id      smb2.FileID
	number  uint64 // its name at the counter
	owner   lock.Owner
	session *session
	conn    *conn // it was made on; notifications prefer it
	tree    *tree
	vol     *volume
	pipe    *rpc.Pipe // IPC$: then nothing of the rest

	key        lock.Key
	directory  bool
	file       *os.File // for reading and writing as far as access says, else O_PATH; it carries the user's rights
	access     smb2.AccessMask
	options    smb2.CreateOptions
	kind       lock.CacheKind
	leaseKey   lock.GUID
	parentKey  lock.GUID
	stream     *stream // nil for the file itself
	hold       uint64  // the open at the counter that holds the stream's file
	double     *double // the file's AppleDouble file, where the stream lies there; nil: it does not
	durable    durable
	createGUID lock.GUID // DH2Q's, whether or not the open became durable
	app        *app
	action     smb2.CreateAction

	holdsWriteTime  atomic.Bool // what it does leaves the time as it is, [MS-FSA] UserSetModificationTime
	holdsChangeTime atomic.Bool // likewise, UserSetChangeTime

	mode atomic.Uint32 // FileModeInformation, of the options
	pos  atomic.Uint64

	mu       sync.Mutex // guards the fields below
	closed   bool
	users    map[*request]struct{}
	parent   *os.File // O_PATH, the directory that name was found in; nil for the root
	name     string
	path     string   // for people
	nextEA   int      // where FileFullEaInformation goes on
	scan     *scan    // QUERY_DIRECTORY's place
	watch    *watch   // CHANGE_NOTIFY's
	dirKey   lock.Key // of parent; zero until somebody asks
	deleting bool     // we marked it delete pending
	sequence sequences
	used     bool // by a request after its CREATE, which cannot be sent again any more
	locks    *lockSequences
	touched  bool // its data or size were changed under it

	granted  lock.Rights // by CREATE, with the two below
	epoch    uint16
	breaking bool
	asked    bool        // the counter knows the open
	unasked  atomic.Bool // it only looks, and the counter does not; see lookers, as the next
	counted  bool

	announced chan struct{} // closed when the client knows its id

	using sync.WaitGroup
	owed  sync.WaitGroup // responses to requests that waited
	ended chan struct{}  // closed when the counter knows that it ended
}

// use pins o for a request, so that its file stays open until the request is answered.
func (o *open) use(r *request) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return ntstatus.FileClosed
	}
	if err := o.sequence.admit(r); err != nil {
		return err
	}
	o.used = o.used || r.Command != smb2.Create
	o.users[r] = struct{}{}
	o.using.Add(1)
	return nil
}

func (o *open) unuse(r *request) {
	o.mu.Lock()
	delete(o.users, r)
	o.sequence.done(r)
	o.mu.Unlock()
	o.using.Done()
}

// stopped is what a request answers whose open is closed while it waits.
func stopped(c smb2.Command) error {
	switch c {
	case smb2.Lock:
		return ntstatus.RangeNotLocked
	case smb2.ChangeNotify:
		return ntstatus.NotifyCleanup
	}
	return ntstatus.FileClosed
}

// close ends the open: first whoever waits on it, then at the counter, and last the name, if it is to go. [MS-SMB2] 3.3.4.17, 3.3.5.10.
func (o *open) close(ctx context.Context) { o.end(ctx, false) }

// part is close, but a durable open waits for its client. [MS-SMB2] 3.3.7.1.
func (o *open) part(ctx context.Context) { o.end(ctx, o.durable.granted()) }

func (o *open) end(ctx context.Context, keep bool) {
	o.mu.Lock()
	again := o.closed
	o.closed = true
	for r := range o.users {
		r.stop(stopped(r.Command))
	}
	o.mu.Unlock()
	if again {
		<-o.ended
		return
	}
	defer close(o.ended)
	o.using.Wait()

	s := o.session
	s.mu.Lock()
	delete(s.opens, o.id.Volatile)
	s.mu.Unlock()
	if o.pipe != nil {
		return
	}
	s.s.metrics.opens.Dec()
	if o.directory && o.options&smb2.FileDeleteOnClose != 0 {
		s.s.watches.deleted(o.key)
	}
	s.s.watches.remove(o)
	if keep && s.s.opens.park(ctx, o) {
		return
	}
	s.s.opens.remove(o)
	o.release(ctx)
}

// release gives the open back to the counter and removes the name where the counter says so.
func (o *open) release(ctx context.Context) {
	o.leave(ctx)
	o.shut()
}

// shut gives the open's descriptors back.
func (o *open) shut() {
	o.scan.close()
	o.file.Close()
	o.double.close()
	if o.parent != nil {
		o.parent.Close()
	}
}

// open finds the open that a request names and pins it until the request is answered. In a compound of related requests it is the one
// before it. [MS-SMB2] 3.3.5.2.7.2.
func (r *request) open(id smb2.FileID) (*open, error) {
	ch := r.chain
	if r.Flags&smb2.FlagRelatedOperations != 0 {
		if ch.failed != nil {
			return nil, ch.failed
		}
		if ch.open != nil {
			id = *ch.open
		}
	}
	ch.onlyID = id
	ch.open = &ch.onlyID
	o := r.session.find(id, r.tree)
	if o == nil {
		return nil, ntstatus.FileClosed
	}
	if r.pinned == o {
		return o, nil
	}
	if err := o.use(r); err != nil {
		return nil, err
	}
	r.pinned = o
	return o, nil
}

// opens finds opens by their number at the counter.
type opens struct {
	lookers lookers

	mu      sync.Mutex // guards the fields below
	by      map[uint64]*open
	parked  map[uint64]*open   // durable ones whose clients are away; by does not have them
	creates map[createID]*open // CREATEs that may be sent again; nil: under way
}

func (t *opens) add(o *open) {
	t.mu.Lock()
	t.by[o.number] = o
	t.mu.Unlock()
}

// addNew adds o unless there is one of its number.
func (t *opens) addNew(o *open) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.by[o.number] != nil {
		return false
	}
	t.by[o.number] = o
	return true
}

func (t *opens) remove(o *open) {
	t.mu.Lock()
	t.forget(o)
	delete(t.by, o.number)
	t.mu.Unlock()
}

func (t *opens) find(number uint64) *open {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.by[number]
}

// lease finds some open that carries a lease.
func (t *opens) lease(client, key lock.GUID) *open {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, o := range t.by {
		if o.owner.Client.GUID == client && o.leaseKey == key && (o.kind == lock.LeaseV1 || o.kind == lock.LeaseV2) {
			return o
		}
	}
	return nil
}
