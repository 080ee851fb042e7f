package ipc

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/ttrpc"

	"dittofs/gateway/ipc/lockpb"
)

// gatewayOf is a counter of some version that nobody holds anything at.
type gatewayOf struct {
	lockpb.CounterService
	version uint32
}

func (g gatewayOf) Hello(context.Context, *lockpb.HelloRequest) (*lockpb.HelloReply, error) {
	return &lockpb.HelloReply{Version: g.version}, nil
}

func (g gatewayOf) Events(ctx context.Context, _ *lockpb.Empty, _ lockpb.Counter_EventsServer) error {
	<-ctx.Done()
	return ctx.Err()
}

func (g gatewayOf) Serving(context.Context, *lockpb.Doors) (*lockpb.Empty, error) {
	return &lockpb.Empty{}, nil
}

func (g gatewayOf) Mustered(context.Context, *lockpb.Empty) (*lockpb.Empty, error) {
	return &lockpb.Empty{}, nil
}

// lineOf keeps the connection that it accepted.
type lineOf struct {
	net.Listener
	conn chan net.Conn
}

func (l lineOf) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		l.conn <- c
	}
	return c, err
}

// serveAt has a gateway of a version at path.
func serveAt(t *testing.T, path string, version uint32) (stop func()) {
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	s, err := ttrpc.NewServer()
	if err != nil {
		t.Fatal(err)
	}
	lockpb.RegisterCounterService(s, gatewayOf{version: version})
	kept := lineOf{l, make(chan net.Conn, 1)}
	go s.Serve(t.Context(), kept)
	return func() { s.Close(); (<-kept.conn).Close() }
}

// After an upgrade the gateway may come back as another version, which the daemon that is still there cannot speak with.
func TestGatewayOfAnotherVersion(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lockd.sock")
	stop := serveAt(t, path, Version)
	ended := make(chan error, 1)
	c, err := Dial(t.Context(), path, Options{Name: "lockd", Ended: func(err error) { ended <- err }})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Hangup()
	stop()
	defer serveAt(t, path, Version+1)()
	if err := <-ended; !strings.Contains(err.Error(), "the gateway speaks version") {
		t.Errorf("the daemon ended by %v", err)
	}
}

// A daemon that stops does not wait for a gateway that is away: systemd starts the gateway again when its daemons have stopped.
func TestStoppedWithoutGateway(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lockd.sock")
	stop := serveAt(t, path, Version)
	ctx, cancel := context.WithCancel(t.Context())
	c, err := Dial(ctx, path, Options{Name: "lockd"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Hangup()
	stop()
	cancel()
	if err := c.Serving(context.WithoutCancel(ctx), nil); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a request without a gateway: %v", err)
	}
}
