package ipc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/proto"

	"dittofs/gateway/ipc/lockpb"
)

// Tree is one exported directory: where it is, and a descriptor of its detached clone, beneath the mount that covers it.
type Tree struct {
	Name    string   // the share's
	Path    string   // absolute, clean
	Root    *os.File // O_PATH or a directory's; nil where the tree is refused
	Refused string   // why it cannot be mounted
}

// Close closes the descriptor.
func (t Tree) Close() error { return t.Root.Close() }

func (t Tree) dup() (Tree, error) {
	if t.Root == nil {
		return t, nil
	}
	fd, err := unix.FcntlInt(t.Root.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return Tree{}, fmt.Errorf("ipc: tree %s: %w", t.Path, err)
	}
	t.Root = os.NewFile(uintptr(fd), t.Path)
	return t, nil
}

func dupTrees(trees []Tree) ([]Tree, error) {
	var out []Tree
	for _, t := range trees {
		d, err := t.dup()
		if err != nil {
			CloseTrees(out)
			return nil, err
		}
		out = append(out, d)
	}
	return out, nil
}

// CloseTrees closes the descriptors of trees.
func CloseTrees(trees []Tree) {
	for _, t := range trees {
		t.Root.Close()
	}
}

// OfferTrees hands the gateway the trees that this process has mounted over, with those that it could not, and returns when the gateway has them. They stay offered,
// also to a gateway that restarts, until ctx ends or this process does: then they count as no longer mounted. The caller may close its
// descriptors when OfferTrees returns.
func OfferTrees(ctx context.Context, path string, trees []Tree) error {
	own, err := dupTrees(trees)
	if err != nil {
		return err
	}
	c, err := offerAgain(ctx, path, own)
	if err != nil {
		CloseTrees(own)
		return err
	}
	go func() {
		defer CloseTrees(own)
		for err == nil {
			standing := c
			stop := context.AfterFunc(ctx, func() { standing.Close() })
			standing.Read(make([]byte, 1)) // returns when either side has closed
			stop()
			standing.Close()
			c, err = offerAgain(ctx, path, own)
		}
	}()
	return nil
}

// offerAgain offers until the gateway accepts. A refusal may end: the process that offered before may still be going.
func offerAgain(ctx context.Context, path string, trees []Tree) (*net.UnixConn, error) {
	for wait := backoffMin; ; wait = min(2*wait, backoffMax) {
		c, err := offer(ctx, path, trees)
		if err == nil {
			return c, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("ipc: offer trees: %w", errors.Join(ctx.Err(), err))
		case <-time.After(wait):
		}
	}
}

func offer(ctx context.Context, path string, trees []Tree) (*net.UnixConn, error) {
	c, err := dialPacket(ctx, path)
	if err != nil {
		return nil, err
	}
	defer context.AfterFunc(ctx, func() { c.Close() })()
	if err := sendTrees(c, lockpb.TreePacket_OFFER, trees); err != nil {
		c.Close()
		return nil, err
	}
	p, files, err := readPacket(c)
	closeFiles(files)
	switch {
	case err != nil:
	case p.Kind == lockpb.TreePacket_REFUSED:
		err = errors.New(p.Refusal)
	case p.Kind != lockpb.TreePacket_ACCEPTED:
		err = fmt.Errorf("answer of kind %v", p.Kind)
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// TakeTrees returns the exported trees. It waits, until ctx ends, for a gateway to be there and for the trees to be mounted.
func TakeTrees(ctx context.Context, path string) ([]Tree, error) {
	for wait := backoffMin; ; wait = min(2*wait, backoffMax) {
		trees, err := takeTrees(ctx, path)
		if err == nil {
			return trees, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("ipc: take trees: %w", errors.Join(ctx.Err(), err))
		case <-time.After(wait):
		}
	}
}

func takeTrees(ctx context.Context, path string) ([]Tree, error) {
	c, err := dialPacket(ctx, path)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.Close() })()
	if err := writePacket(c, &lockpb.TreePacket{Version: Version, Kind: lockpb.TreePacket_TAKE}, nil); err != nil {
		return nil, err
	}
	return readTrees(c, lockpb.TreePacket_TREES)
}

func dialPacket(ctx context.Context, path string) (*net.UnixConn, error) {
	c, err := (&net.Dialer{}).DialContext(ctx, "unixpacket", path)
	if err != nil {
		return nil, err
	}
	return c.(*net.UnixConn), nil
}

// ListenTrees listens at path for OfferTrees and TakeTrees.
func ListenTrees(path string) (*net.UnixListener, error) {
	return net.ListenUnix("unixpacket", &net.UnixAddr{Name: path, Net: "unixpacket"})
}

// Bounds of what trees.sock carries.
const (
	treesMax   = 1024
	packetMax  = 128 << 10
	packetTree = 8 // trees in one packet: 8 paths and reasons of 4 KiB and 8 descriptors
	nameMax    = 255
	pathMax    = 4096
)

func sendTrees(c *net.UnixConn, kind lockpb.TreePacket_Kind, trees []Tree) error {
	for {
		n := min(len(trees), packetTree)
		p := &lockpb.TreePacket{Version: Version, Kind: kind, More: n < len(trees)}
		var fds []int
		for _, t := range trees[:n] {
			p.Trees = append(p.Trees, &lockpb.TreeState{Name: text(t.Name), Path: text(t.Path), Refused: text(t.Refused)})
			if t.Root != nil {
				fds = append(fds, int(t.Root.Fd()))
			}
		}
		if err := writePacket(c, p, fds); err != nil {
			return err
		}
		if trees = trees[n:]; len(trees) == 0 {
			return nil
		}
	}
}

// readTrees reads packets of one kind to the last.
func readTrees(c *net.UnixConn, kind lockpb.TreePacket_Kind) ([]Tree, error) {
	p, files, err := readPacket(c)
	if err != nil {
		return nil, err
	}
	return restTrees(c, kind, p, files)
}

// restTrees goes on after a first packet. It keeps no descriptor when it returns an error.
func restTrees(c *net.UnixConn, kind lockpb.TreePacket_Kind, p *lockpb.TreePacket, files []*os.File) (trees []Tree, err error) {
	for {
		if err = checkTrees(p, kind, len(files), len(trees)); err != nil {
			closeFiles(files)
			CloseTrees(trees)
			return nil, err
		}
		for _, t := range p.Trees {
			one := Tree{Name: string(t.Name), Path: string(t.Path), Refused: string(t.Refused)}
			if one.Refused == "" {
				one.Root, files = files[0], files[1:]
			}
			trees = append(trees, one)
		}
		if !p.More {
			return trees, nil
		}
		if p, files, err = readPacket(c); err != nil {
			CloseTrees(trees)
			return nil, err
		}
	}
}

// checkTrees says what is wrong with a packet that brings trees.
func checkTrees(p *lockpb.TreePacket, kind lockpb.TreePacket_Kind, files, before int) error {
	mounted := 0
	for _, t := range p.Trees {
		if len(t.Refused) == 0 {
			mounted++
		}
	}
	switch {
	case p.Kind == lockpb.TreePacket_REFUSED:
		return errors.New(p.Refusal)
	case p.Kind != kind:
		return fmt.Errorf("packet of kind %v, not %v", p.Kind, kind)
	case mounted != files:
		return fmt.Errorf("%d trees with %d descriptors", mounted, files)
	case before+len(p.Trees) > treesMax:
		return fmt.Errorf("more than %d trees", treesMax)
	case len(p.Trees) == 0 && p.More:
		return errors.New("an empty packet that is not the last")
	}
	for _, t := range p.Trees {
		name, path := string(t.Name), string(t.Path)
		if name == "" || len(name) > nameMax || strings.ContainsAny(name, "/\x00") {
			return fmt.Errorf("tree name %q", name)
		}
		if len(path) > pathMax || !filepath.IsAbs(path) || filepath.Clean(path) != path || strings.Contains(path, "\x00") {
			return fmt.Errorf("tree path %q", path)
		}
		if len(t.Refused) > pathMax+nameMax {
			return fmt.Errorf("a reason of %d bytes", len(t.Refused))
		}
	}
	return nil
}

func writePacket(c *net.UnixConn, p *lockpb.TreePacket, fds []int) error {
	b, err := proto.Marshal(p)
	if err != nil {
		return err
	}
	if len(b) > packetMax {
		return fmt.Errorf("packet of %d bytes", len(b))
	}
	var oob []byte
	if len(fds) > 0 {
		oob = unix.UnixRights(fds...)
	}
	c.SetWriteDeadline(time.Now().Add(Deadline))
	_, _, err = c.WriteMsgUnix(b, oob, nil)
	return err
}

// readPacket reads one packet with its descriptors, which arrive close-on-exec. A truncated packet is an error, and no descriptor stays open then.
func readPacket(c *net.UnixConn) (*lockpb.TreePacket, []*os.File, error) {
	b := make([]byte, packetMax)
	oob := make([]byte, unix.CmsgSpace(4*packetTree))
	n, oobn, flags, _, err := c.ReadMsgUnix(b, oob) // Go asks for MSG_CMSG_CLOEXEC
	files, ferr := takeFiles(oob[:max(oobn, 0)])
	if err == nil && n == 0 && oobn == 0 {
		err = io.EOF // SOCK_SEQPACKET: the other side has closed
	}
	if err == nil {
		err = ferr
	}
	if err == nil && flags&(unix.MSG_TRUNC|unix.MSG_CTRUNC) != 0 {
		err = fmt.Errorf("packet of more than %d bytes or %d descriptors", packetMax, packetTree)
	}
	var p *lockpb.TreePacket
	if err == nil {
		p, err = parsePacket(b[:n])
	}
	if err != nil {
		closeFiles(files)
		return nil, nil, err
	}
	return p, files, nil
}

func parsePacket(b []byte) (*lockpb.TreePacket, error) {
	p := &lockpb.TreePacket{}
	if err := proto.Unmarshal(b, p); err != nil {
		return nil, err
	}
	if p.Version != Version {
		return nil, fmt.Errorf("trees of version %d, not %d", p.Version, Version)
	}
	return p, nil
}

// takeFiles owns every descriptor in oob.
func takeFiles(oob []byte) (files []*os.File, err error) {
	if len(oob) == 0 {
		return nil, nil
	}
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, err
	}
	for _, m := range msgs {
		fds, perr := unix.ParseUnixRights(&m)
		if perr != nil {
			err = perr // SCM_CREDENTIALS or other matter that nobody asked for
			continue
		}
		for _, fd := range fds {
			files = append(files, os.NewFile(uintptr(fd), "tree"))
		}
	}
	return files, err
}

func closeFiles(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}

// Trees is the gateway's registry of trees: the last that were offered, and whether the process that offered them still stands.
type Trees struct {
	mu      sync.Mutex // guards the fields below; changed is never called under it
	trees   []Tree
	by      *net.UnixConn // the offerer; nil: gone
	pid     int32
	news    chan struct{} // closed and replaced at each change
	changed func()
}

// NewTrees returns an empty registry. changed, if not nil, is called after each change.
func NewTrees(changed func()) *Trees {
	return &Trees{news: make(chan struct{}), changed: changed}
}

// List tells which trees there are, whether they are mounted, and why not.
func (t *Trees) List() []TreeStatus {
	t.mu.Lock()
	defer t.mu.Unlock()
	return each(t.trees, func(tr Tree) TreeStatus {
		return TreeStatus{Name: tr.Name, Path: tr.Path, Mounted: t.by != nil && tr.Root != nil, Refused: tr.Refused}
	})
}

// Mounted tells whether there are trees that local programs reach through the mount.
func (t *Trees) Mounted() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.by != nil && len(mounted(t.trees)) > 0
}

// mounted are the trees that are not refused.
func mounted(trees []Tree) (list []Tree) {
	for _, t := range trees {
		if t.Root != nil {
			list = append(list, t)
		}
	}
	return list
}

// Take waits until trees are mounted and returns them with descriptors of the caller's own.
func (t *Trees) Take(ctx context.Context) ([]Tree, error) {
	for {
		t.mu.Lock()
		var trees []Tree
		var err error
		if t.by != nil {
			trees, err = dupTrees(mounted(t.trees))
		}
		news := t.news
		t.mu.Unlock()
		if len(trees) > 0 || err != nil {
			return trees, err
		}
		select {
		case <-news:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// offered takes trees over, unless another process that still stands has offered. One that offers again has more of them.
func (t *Trees) offered(by *net.UnixConn, pid int32, trees []Tree) error {
	t.mu.Lock()
	if t.by != nil && t.pid != pid {
		defer t.mu.Unlock()
		return fmt.Errorf("process %d offers the trees already", t.pid)
	}
	CloseTrees(t.trees)
	t.trees, t.by, t.pid = trees, by, pid
	t.tell()
	return nil
}

func (t *Trees) withdrawn(by *net.UnixConn) {
	t.mu.Lock()
	if t.by != by {
		t.mu.Unlock()
		return
	}
	t.by, t.pid = nil, 0
	t.tell()
}

// tell unlocks t and tells everybody.
func (t *Trees) tell() {
	close(t.news)
	t.news = make(chan struct{})
	t.mu.Unlock()
	if t.changed != nil {
		t.changed()
	}
}

// ServeTrees answers at l until ctx ends. report, if not nil, is told of each connection that ends for a reason.
func ServeTrees(ctx context.Context, l *net.UnixListener, t *Trees, report func(error)) error {
	if report == nil {
		report = func(error) {}
	}
	var conns sync.WaitGroup
	defer conns.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(ctx, func() { l.Close() })()
	for {
		c, err := l.AcceptUnix()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			if errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE) || errors.Is(err, unix.ECONNABORTED) {
				report(err)
				time.Sleep(backoffMax)
				continue
			}
			return fmt.Errorf("ipc: trees: %w", err)
		}
		conns.Go(func() {
			defer c.Close()
			defer context.AfterFunc(ctx, func() { c.Close() })()
			if err := serveTrees(ctx, c, t); err != nil && ctx.Err() == nil && !errors.Is(err, io.EOF) {
				report(err)
			}
		})
	}
}

func serveTrees(ctx context.Context, c *net.UnixConn, t *Trees) error {
	cred, err := Peer(c)
	if err != nil {
		return err
	}
	c.SetReadDeadline(time.Now().Add(Deadline))
	p, files, err := readPacket(c)
	if err != nil {
		return err
	}
	if p.Kind == lockpb.TreePacket_TAKE {
		closeFiles(files)
		return give(ctx, c, t)
	}
	trees, err := restTrees(c, lockpb.TreePacket_OFFER, p, files)
	if err == nil {
		if err = t.offered(c, cred.Pid, trees); err != nil {
			CloseTrees(trees)
		}
	}
	if err != nil {
		writePacket(c, &lockpb.TreePacket{Version: Version, Kind: lockpb.TreePacket_REFUSED, Refusal: err.Error()}, nil)
		return err
	}
	defer t.withdrawn(c)
	if err := writePacket(c, &lockpb.TreePacket{Version: Version, Kind: lockpb.TreePacket_ACCEPTED}, nil); err != nil {
		return err
	}
	return standing(c)
}

// give waits for trees on the taker's behalf, as long as the taker waits.
func give(ctx context.Context, c *net.UnixConn, t *Trees) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var watch sync.WaitGroup
	watch.Go(func() {
		defer cancel()
		standing(c)
	})
	trees, err := t.Take(ctx)
	if err == nil {
		err = sendTrees(c, lockpb.TreePacket_TREES, trees)
		CloseTrees(trees)
	}
	if ctx.Err() != nil {
		err = nil // the taker has gone
	}
	c.Close()
	watch.Wait()
	return err
}

// standing returns when the other side has closed, or breaks the silence that it owes.
func standing(c *net.UnixConn) error {
	c.SetReadDeadline(time.Time{})
	_, files, err := readPacket(c)
	closeFiles(files)
	if err == nil {
		err = errors.New("a packet more than there should be")
	}
	return err
}
