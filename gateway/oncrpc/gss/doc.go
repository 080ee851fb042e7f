// Package gss is RPCSEC_GSS, RFC 2203, over Kerberos: contexts, their sequence windows, and the three services.
//
// Lock order: Server.mu and context.mu are leaves.
package gss

import (
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"dittofs/gateway/krb5"
	"dittofs/gateway/oncrpc"
)

// Config is what a Server stands on.
type Config struct {
	Acceptor *krb5.Acceptor
	// Account finds the local account of a principal; ok is false where it has none, and the caller is anonymous.
	Account func(name []string, realm string) (uid, gid uint32, gids []uint32, ok bool)
	Log     *slog.Logger
	Metrics prometheus.Registerer // nil: none
}

// Server is oncrpc.Security.
type Server struct {
	cfg      Config
	accepted prometheus.Counter
	refused  prometheus.Counter

	mu       sync.Mutex // guards the fields below
	contexts map[handle]*gssContext
	warned   map[netip.Addr]time.Time
}

// New returns a Server without contexts.
func New(cfg Config) *Server {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	s := &Server{cfg: cfg, contexts: map[handle]*gssContext{}, warned: map[netip.Addr]time.Time{}}
	total := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "dittofs_rpc_gss_contexts_total",
		Help: "RPCSEC_GSS contexts that clients asked for, by result: accepted or refused."}, []string{"result"})
	s.accepted, s.refused = total.WithLabelValues("accepted"), total.WithLabelValues("refused")
	now := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "dittofs_rpc_gss_contexts", Help: "RPCSEC_GSS contexts that are open."}, func() float64 {
		s.mu.Lock()
		defer s.mu.Unlock()
		return float64(len(s.contexts))
	})
	if cfg.Metrics != nil {
		cfg.Metrics.MustRegister(total, now)
	}
	return s
}

var _ oncrpc.Security = (*Server)(nil)
