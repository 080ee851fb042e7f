package server

import (
	"context"
	"reflect"
	"strings"

	"dittofs/gateway/config"
	"dittofs/gateway/daemon"
)

// offer is what shares there are, as the configuration has them; it is replaced as a whole.
type offer struct {
	exports []config.Export
	by      map[string]*share // by name in small letters; IPC$ is among them
}

// reload takes the exports of the configuration file again at each SIGHUP. The rest of the file counts from the next start on.
func (s *Server) reload(ctx context.Context, env daemon.Env) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-env.Reload:
		}
		cfg, err := env.Load()
		if err != nil {
			env.Log.Error("configuration not reloaded", "err", err)
			continue
		}
		s.Load(ctx, cfg.Exports)
		env.Log.Info("shares reloaded", "shares", len(cfg.Exports))
	}
}

// Load makes the exports the shares. Whoever uses one that stays notices its new terms and nothing else; the tree connects of one that went, or
// that their users would not get today, end with all that is open on them. [MS-SMB2] 3.3.4.13.
func (s *Server) Load(ctx context.Context, exports []config.Export) {
	old := s.offer.Load()
	now := &offer{exports: exports, by: map[string]*share{}}
	for _, e := range exports {
		e.Encrypt = e.Encrypt || s.cfg.Settings.SMB.Encryption == "required"
		key := strings.ToLower(e.Name)
		h := old.by[key]
		if h == nil || h.name != e.Name || h.terms().Path != e.Path {
			h = &share{name: e.Name}
		}
		if t := h.config.Load(); t == nil || !reflect.DeepEqual(*t, e) {
			h.config.Store(&e)
		}
		now.by[key] = h
	}
	now.by["ipc$"] = old.by["ipc$"]
	s.offer.Store(now)

	for _, t := range s.trees(func(t *tree) bool { return now.by[strings.ToLower(t.share.name)] != t.share || !t.stands() }) {
		t.session.log.Info("tree connect ended: its share went or has other terms", "share", t.share.name)
		t.end(ctx)
	}
	for _, o := range s.opens.left(func(h *share) bool { return now.by[strings.ToLower(h.name)] != h }) {
		o.release(ctx)
	}
}

// stands reports whether the client would get its tree connect today.
func (t *tree) stands() bool {
	return t.share.admits(t.session) && t.maximal&^t.share.grants() == 0
}

// trees are the tree connects of all sessions that which chooses.
func (s *Server) trees(which func(*tree) bool) (l []*tree) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, x := range s.sessions {
		x.mu.Lock()
		for _, t := range x.trees {
			if which(t) {
				l = append(l, t)
			}
		}
		x.mu.Unlock()
	}
	return l
}

// left takes the parked opens of the shares that which chooses: nobody can come back for them.
func (t *opens) left(which func(*share) bool) (l []*open) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for number, o := range t.parked {
		if which(o.tree.share) {
			delete(t.parked, number)
			t.forget(o)
			l = append(l, o)
		}
	}
	return l
}

// end closes the tree connect and all that is open on it.
func (t *tree) end(ctx context.Context) {
	s := t.session
	s.mu.Lock()
	delete(s.trees, t.id)
	var opens []*open
	for _, o := range s.opens {
		if o.tree == t {
			opens = append(opens, o)
		}
	}
	s.mu.Unlock()
	for _, o := range opens {
		o.close(ctx)
	}
	s.s.reports.add(ctx, s, false)
}
