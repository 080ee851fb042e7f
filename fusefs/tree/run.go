package tree

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"

	"dittofs/gateway/config"
	"dittofs/gateway/daemon"
	"dittofs/gateway/ipc"
	"dittofs/gateway/lock"
)

// Run serves the exported directories until ctx ends. What can fail for a reason of this machine fails before the gateway is asked.
func Run(ctx context.Context, env daemon.Env) error {
	if len(env.Config.Exports) == 0 {
		return fmt.Errorf("no export is configured")
	}
	daemon.SpareProcessors(8)
	d := &door{env: env, metrics: newMetrics(env.Metrics), lost: make(chan *Tree, 1), want: env.Config.Exports, refused: map[string]string{}}
	defer d.close()
	missing := checkDevice()
	var refusals []error
	for _, e := range env.Config.Exports {
		err := missing
		if err == nil {
			err = d.prepare(ctx, e)
		}
		if err != nil {
			refusals = append(refusals, err)
			d.refuse(e, err)
		}
	}
	if len(d.exports) == 0 {
		d.lament(ctx)
		return cmp.Or(missing, errors.Join(refusals...))
	}
	if err := d.refuseNested(); err != nil {
		return err
	}
	client, err := ipc.Dial(ctx, env.Socket("fusefs"), ipc.Options{Door: lock.Local, Name: "fusefs", Log: env.Log, Sink: d.heard, Describe: d.describe, Ended: env.Fail})
	if err != nil {
		return err
	}
	defer client.Hangup()
	return d.serve(ctx, client)
}

// door is all mounts of this daemon.
type door struct {
	env     daemon.Env
	metrics *metrics
	want    []config.Export
	exports []config.Export // of those, the ones that are mounted or were, each with its ground
	grounds []*ground
	lost    chan *Tree        // one that somebody else unmounted
	refused map[string]string // why an export is not mounted, by its path
	undo    []func()          // unmount, in the order of mounting

	mu    sync.Mutex // guards trees: events may come before they are there
	trees []*Tree
}

func (d *door) prepare(ctx context.Context, e config.Export) error {
	g, err := prepare(ctx, e.Path, 2*time.Second)
	if err != nil {
		return err
	}
	d.exports, d.grounds = append(d.exports, e), append(d.grounds, g)
	if m, err := readMounts(); err == nil {
		for _, p := range m.below(g.path) {
			d.env.Log.Warn("a file system mounted inside the export is not served", "export", e.Name, "mounted", p)
		}
	}
	return nil
}

// again is how often an export that cannot be mounted is tried.
const again = 5 * time.Second

// refuse notes that an export is not mounted, and so not served; the others are. Each reason is told once; it reports whether this one was.
func (d *door) refuse(e config.Export, err error) (told bool) {
	if d.refused[e.Path] == err.Error() {
		return false
	}
	d.refused[e.Path] = err.Error()
	d.env.Log.Error("export is not mounted, and not served", "export", e.Name, "err", err)
	return true
}

// lament leaves with the gateway why nothing is mounted, for who asks there, if it answers soon.
func (d *door) lament(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if withdraw, err := d.offer(ctx); err == nil {
		withdraw()
	}
}

// refuseNested refuses an export inside another: its files would have two sets of caches on this machine.
func (d *door) refuseNested() error {
	for i, a := range d.grounds {
		for j, b := range d.grounds {
			if i != j && (a.path == b.path || inside(a.path, b.path)) {
				return fmt.Errorf("%s: lies inside the export %s", d.exports[j].Path, d.exports[i].Path)
			}
		}
	}
	return nil
}

func (d *door) close() {
	for _, g := range d.grounds {
		g.close()
	}
}

// heard takes the counter's events.
func (d *door) heard(e lock.Event) {
	if e.Change == nil { // a local owner has no lease to break; an Answer that nobody waits for came too late for a caller that went away
		return
	}
	d.mu.Lock()
	trees := d.trees
	d.mu.Unlock()
	for _, t := range trees {
		t.Heard(*e.Change)
	}
}

// describe says for people what an open is.
func (d *door) describe(r *lock.OpenRequest) {
	d.mu.Lock()
	trees := d.trees
	d.mu.Unlock()
	for _, t := range trees {
		if t.describe(r) {
			return
		}
	}
}

// serve mounts, offers the clones, and takes both back in the opposite order. At SIGHUP it mounts what the configuration has more, and now
// and then it tries what could not be mounted.
func (d *door) serve(ctx context.Context, client *ipc.Client) error {
	defer func() {
		for _, unmount := range slices.Backward(d.undo) {
			unmount()
		}
	}()
	for i := range d.exports {
		if err := d.mount(ctx, client, i); err != nil {
			d.refuse(d.exports[i], err)
			d.lament(ctx)
			return err
		}
	}
	withdraw, err := d.offer(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	defer func() { withdraw() }() // before the mounts go
	d.env.Ready()
	retry := time.NewTicker(again)
	defer retry.Stop()
	for {
		reloaded := false
		select {
		case <-ctx.Done():
			return nil
		case t := <-d.lost:
			return fmt.Errorf("export %s was unmounted", t.name)
		case <-d.env.Reload:
			d.reload()
			reloaded = true
		case <-retry.C:
			if len(d.refused) == 0 {
				continue
			}
		}
		if !d.more(ctx, client) && !reloaded {
			continue
		}
		offered, err := d.offer(ctx)
		if err != nil {
			d.env.Log.Error("the gateway does not hear which exports are mounted", "err", err)
			continue
		}
		withdraw()
		withdraw = offered
	}
}

// mount mounts over the ground number i.
func (d *door) mount(ctx context.Context, client *ipc.Client, i int) error {
	e, g := d.exports[i], d.grounds[i]
	t, err := newTree(treeConfig{name: e.Name, root: g.root, through: d.env.Config.Fuse.Passthrough,
		seat: client.Seat, unheard: client.Unheard, log: d.env.Log, metrics: d.metrics})
	if err != nil {
		return err
	}
	unmount, err := t.mount(ctx, g, func() {
		select {
		case d.lost <- t:
		default:
		}
	})
	if err != nil {
		return fmt.Errorf("%s: %w", e.Path, err)
	}
	d.undo = append(d.undo, unmount)
	d.mu.Lock()
	d.trees = append(d.trees, t)
	d.mu.Unlock()
	t.keepOrphans(g.dead)
	d.env.Log.Info("mounted", "export", e.Name, "path", g.path, "passthrough", !t.plain.Load())
	return nil
}

// offer hands all clones to the gateway, and says why others are not mounted.
func (d *door) offer(ctx context.Context) (withdraw func(), err error) {
	var trees []ipc.Tree
	for i, g := range d.grounds {
		if e := d.exports[i]; d.refused[e.Path] == "" {
			trees = append(trees, ipc.Tree{Name: e.Name, Path: filepath.Clean(e.Path), Root: g.root})
		}
	}
	for _, e := range d.want {
		if why := d.refused[e.Path]; why != "" {
			trees = append(trees, ipc.Tree{Name: e.Name, Path: filepath.Clean(e.Path), Refused: why})
		}
	}
	ctx, withdraw = context.WithCancel(ctx)
	return withdraw, ipc.OfferTrees(ctx, d.env.Socket("trees"), trees)
}

// reload reads which exports there are to be.
func (d *door) reload() {
	cfg, err := d.env.Load()
	if err != nil {
		d.env.Log.Error("configuration not reloaded", "err", err)
		return
	}
	d.want = cfg.Exports
	maps.DeleteFunc(d.refused, func(path, _ string) bool {
		return !slices.ContainsFunc(d.want, func(e config.Export) bool { return e.Path == path })
	})
}

// more mounts the exports that came, or could not be mounted before, and reports whether there is news of any. One that went stays mounted until
// this daemon ends, so that whoever still serves it is not gone around.
func (d *door) more(ctx context.Context, client *ipc.Client) (more bool) {
	for _, e := range d.want {
		if slices.ContainsFunc(d.exports, func(have config.Export) bool { return have.Path == e.Path }) {
			continue
		}
		n := len(d.grounds)
		err := d.prepare(ctx, e)
		if err == nil {
			if err = d.refuseNested(); err == nil {
				err = d.mount(ctx, client, n)
			}
			if err != nil {
				d.grounds[n].close()
				d.exports, d.grounds = d.exports[:n], d.grounds[:n]
			}
		}
		if err != nil {
			more = d.refuse(e, err) || more
			continue
		}
		delete(d.refused, e.Path)
		more = true
	}
	return more
}

// mount mounts t over g and serves it until unmount is called; gone is called if somebody else unmounts it.
func (t *Tree) mount(ctx context.Context, g *ground, gone func()) (unmounted func(), err error) {
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	t.post.start(life)
	t.ears.start(life, t.invalidate)
	stop := func() {
		end()
		t.post.wg.Wait()
		t.ears.wg.Wait()
		t.pins.drop()
		t.backings.drop()
		t.dirs.drop()
	}
	server, err := fuse.NewServer(t, g.path, t.options(g.flags))
	if err != nil {
		if m, merr := readMounts(); merr == nil {
			if top := m.at(g.path); top != nil && top.source == source(t.name) {
				unmount(g.path)
			}
		}
		stop()
		return nil, fmt.Errorf("mount: %w", err)
	}
	if m, err := readMounts(); err == nil {
		readAhead(m.at(g.path))
	}
	served, leaving := make(chan struct{}), make(chan struct{})
	go func() {
		server.Serve()
		close(served)
		select {
		case <-leaving:
		default:
			gone()
		}
	}()
	return func() {
		close(leaving)
		select {
		case <-served: // by somebody else
		default:
			if err := unmount(g.path); err != nil {
				t.log.Error("cannot unmount", "path", g.path, "err", err)
			}
		}
		select {
		case <-served:
		case <-time.After(lingering):
			t.log.Warn("files are still open in the mount", "export", t.name)
		}
		t.post.flush()
		stop()
	}, nil
}

// lingering is how long requests under way are waited for after a busy mount was taken off its path.
const lingering = time.Second
