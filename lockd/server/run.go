package server

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"

	"dittofs/gateway/daemon"
	"dittofs/gateway/ipc"
	"dittofs/gateway/lock"
	"dittofs/gateway/lock/seat"
	"dittofs/gateway/oncrpc"
	"dittofs/gateway/oncrpc/rpcbind"
	"dittofs/lockd/nlm"
)

// Run is the daemon, top to bottom.
func Run(ctx context.Context, env daemon.Env) error {
	cfg := env.Config
	tcp, udp, err := oncrpc.Listen(ctx, cfg.Listen, cfg.Ports.NLM)
	if err != nil {
		return fmt.Errorf("nlm: %w", err)
	}
	s := New(Config{Locks: seat.New(nil), Log: env.Log, Metrics: env.Metrics, Soon: cfg.Lock.Lag() > 0, Hold: cfg.NFS.Hold.D(), GrantedFor: cfg.NFS.GrantedFor.D()})
	counter, err := ipc.Dial(ctx, env.Socket("lockd"), ipc.Options{Door: lock.NLM, Name: "lockd", Log: env.Log, Sink: s.Event, Ended: env.Fail})
	if err != nil {
		for _, l := range tcp {
			l.Close()
		}
		for _, c := range udp {
			c.Close()
		}
		return err
	}
	defer counter.Hangup()
	s.Sit(counter)

	rpc := oncrpc.NewServer(oncrpc.Config{Log: env.Log, Metrics: env.Metrics, MaxRecord: 64 << 10}, s.Programs()...)
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { s.Work(ctx) })
	for _, l := range tcp {
		wg.Go(func() { rpc.ServeTCP(ctx, l) })
	}
	for _, c := range udp {
		wg.Go(func() { rpc.ServeUDP(ctx, c) })
	}
	port, ipv4, ipv6 := oncrpc.Bound(tcp)
	host := cfg.Listen
	if host == "" {
		host = "127.0.0.1"
	}
	if cfg.NFS.Rpcbind {
		where := rpcbind.Where{Sockets: []string{rpcbind.Socket, env.Socket("rpcbind")}, Ask: net.JoinHostPort(host, strconv.Itoa(rpcbind.Port))}
		ms := rpcbind.Mappings(nlm.Program, []uint32{uint32(nlm.V1), uint32(nlm.V3), uint32(nlm.V4)}, port, ipv4, ipv6)
		registered := make(chan struct{})
		defer rpcbind.Keep(ctx, env.Log, where, ms, func() { close(registered) })()
		select { // who waits for us to be ready wants to mount
		case <-registered:
		case <-time.After(3 * time.Second):
		case <-ctx.Done():
		}
	}
	if err := counter.Serving(ctx, map[string]string{"nlm": net.JoinHostPort(host, strconv.Itoa(int(port)))}); err != nil && ctx.Err() == nil {
		env.Log.Warn("serving", "err", err)
	}
	env.Ready()
	<-ctx.Done()
	return ctx.Err()
}

// Sit gives the server its seat at the counter, before it answers anything.
func (s *Server) Sit(c *ipc.Client) {
	s.locks = c.Seat
	s.cfg.Hosts = func(ctx context.Context) ([]ipc.Host, error) {
		n, err := c.NSM(ctx)
		return n.Hosts, err
	}
}
