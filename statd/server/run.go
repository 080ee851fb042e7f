package server

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"dittofs/gateway/daemon"
	"dittofs/gateway/ipc"
	"dittofs/gateway/lock"
	"dittofs/gateway/oncrpc"
	"dittofs/gateway/oncrpc/rpcbind"
	"dittofs/statd/nsm"
)

// Run is the daemon, top to bottom.
func Run(ctx context.Context, env daemon.Env) error {
	cfg := env.Config
	store, err := OpenStore(filepath.Join(cfg.State, "nsm"), env.Log)
	if err != nil {
		return fmt.Errorf("nsm: %w", err)
	}
	tcp, udp, err := oncrpc.Listen(ctx, cfg.Listen, cfg.Ports.NSM)
	if err != nil {
		return fmt.Errorf("nsm: %w", err)
	}
	counter, err := ipc.Dial(ctx, env.Socket("statd"), ipc.Options{Door: lock.NLM, Name: "statd", Log: env.Log, Ended: env.Fail})
	var n ipc.NSM
	if err == nil {
		defer counter.Hangup()
		n, err = counter.NSM(ctx) // MON must not be answered without a state
	}
	if err != nil {
		for _, l := range tcp {
			l.Close()
		}
		for _, c := range udp {
			c.Close()
		}
		return fmt.Errorf("nsm: %w", err)
	}
	s := New(Config{Gateway: counter, Store: store, Log: env.Log, Metrics: env.Metrics})
	s.state.Store(n.State)
	s.metrics.registrations.Set(float64(store.Len()))

	rpc := oncrpc.NewServer(oncrpc.Config{Log: env.Log, Metrics: env.Metrics, MaxRecord: 16 << 10, MaxInFlight: 16}, s.Program())
	var wg sync.WaitGroup
	defer wg.Wait()
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
		registered := make(chan struct{})
		defer rpcbind.Keep(ctx, env.Log, where, rpcbind.Mappings(nsm.Program, []uint32{nsm.Version}, port, ipv4, ipv6), func() { close(registered) })()
		select { // who waits for us to be ready wants to mount
		case <-registered:
		case <-time.After(3 * time.Second):
		case <-ctx.Done():
		}
	}
	// A host that is told may reclaim at once, and must find us.
	wg.Go(func() { s.Work(ctx) })
	if err := counter.Serving(ctx, map[string]string{"nsm": net.JoinHostPort(host, strconv.Itoa(int(port)))}); err != nil && ctx.Err() == nil {
		env.Log.Warn("serving", "err", err)
	}
	env.Ready()
	<-ctx.Done()
	return ctx.Err()
}
