package server

import (
	"context"
	"reflect"

	"dittofs/gateway/daemon"
	"dittofs/gateway/export"
)

// reload takes the exports of the configuration file again at each SIGHUP. Whoever uses an export that stays notices nothing but its new
// terms. look looks for the trees of those that came. The rest of the file counts from the next start on.
func reload(ctx context.Context, env daemon.Env, exports *export.Set, look func()) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-env.Reload:
		}
		cfg, err := env.Load()
		if err != nil {
			env.Log.Error("configuration not reloaded", "err", err)
			continue
		}
		came, went, err := exports.Load(cfg.Exports)
		if err != nil {
			env.Log.Error("configuration not reloaded", "err", err)
			continue
		}
		env.Log.Info("exports reloaded", "exports", len(cfg.Exports))
		for _, e := range came {
			env.Log.Info("export came; it is served when dittofs-fusefs has mounted it", "name", e.Name(), "path", e.Path)
		}
		if len(came) > 0 {
			look()
		}
		for _, e := range went {
			env.Log.Info("export went: its file handles are stale", "name", e.Name(), "path", e.Path)
		}
		now, then := *cfg, *env.Config
		now.Exports, then.Exports = nil, nil
		if !reflect.DeepEqual(now, then) {
			env.Log.Warn("settings besides the exports have changed; they count after a restart")
		}
	}
}
