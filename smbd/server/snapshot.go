package server

import (
	"errors"
	"io"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"dittofs/smbd/ntstatus"
)

// Previous versions, [MS-SMB2] 3.3.5.9.4: earlier states of a share lie as directories beneath it, snapshots of btrfs or copies, and their
// names say when they were made. A CREATE with a time is resolved beneath the one of that time, and only to read.

// gmtToken is how a time stands in a path and in the list of snapshots, [MS-SMB2] 2.2.32.2.
const gmtToken = "@GMT-2006.01.02-15.04.05"

// cutToken takes a time out of a path: one of its components.
func cutToken(path string) (rest string, t time.Time) {
	if !strings.Contains(path, "@GMT-") {
		return path, t
	}
	parts := strings.Split(path, `\`)
	for i, p := range parts {
		if at, err := time.Parse(gmtToken, p); err == nil {
			return strings.Join(slices.Delete(parts, i, i+1), `\`), at
		}
	}
	return path, t
}

// snapshots are the times of all snapshots, the newest first. It runs as the session's user.
func (t *tree) snapshots(v *volume) (list []time.Time, err error) {
	err = t.eachSnapshot(v, func(_ string, at time.Time) { list = append(list, at) })
	slices.SortFunc(list, func(a, b time.Time) int { return b.Compare(a) })
	return list, err
}

func (t *tree) eachSnapshot(v *volume, f func(name string, at time.Time)) error {
	s := t.share.terms().Snapshots
	if s == "" {
		return nil
	}
	d, err := openBeneath(v.root, s.Dir(), unix.O_RDONLY|unix.O_DIRECTORY)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return err
	}
	defer d.Close()
	for {
		names, err := d.Readdirnames(1024)
		for _, n := range names {
			if at, ok := s.Time(n); ok {
				f(n, at)
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// before is the volume as it was then. It runs as the session's user.
func (t *tree) before(v *volume, then time.Time) (*volume, error) {
	name := ""
	if err := t.eachSnapshot(v, func(n string, at time.Time) {
		if at.Equal(then) {
			name = n
		}
	}); err != nil {
		return nil, err
	}
	if name == "" {
		return nil, ntstatus.ObjectNameNotFound
	}
	f, err := openBeneath(v.root, join(t.share.terms().Snapshots.Dir(), name), unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return nil, err
	}
	past := *v
	past.root, past.past = f, true
	return &past, nil
}

// goBack makes a CREATE one of the past, if it names a time. Nothing there can be changed.
func (c *creation) goBack(token time.Time) error {
	then := token
	if w := c.q.Contexts.TimeWarp; w != nil && *w != 0 {
		then = w.Time().Truncate(time.Second)
	}
	if then.IsZero() {
		return nil
	}
	err := c.s.as(c.vol, func() (err error) {
		c.vol, err = c.tree.before(c.vol, then)
		return err
	})
	if err != nil {
		return err
	}
	if c.access&writes != 0 || c.truncates() {
		return ntstatus.AccessDenied
	}
	c.q.Contexts.DurableRequest, c.q.Contexts.DurableRequestV2 = false, nil // which would be looked for in the present
	c.tree = &tree{id: c.tree.id, share: c.tree.share, session: c.tree.session, maximal: c.tree.maximal &^ writes}
	return nil
}
