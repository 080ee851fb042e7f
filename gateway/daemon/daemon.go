// Package daemon is how a daemon is born: flags, configuration, log, metrics, systemd's notification, signals.
//
// No locks.
package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	sd "github.com/coreos/go-systemd/v22/daemon"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/urfave/cli/v2"

	"dittofs/gateway/config"
)

// Version is set by the linker.
var Version = "0.1.0"

// Env is what a daemon gets at birth.
type Env struct {
	Name    string // "gateway", "lockd", …
	Config  *config.Config
	Log     *slog.Logger
	Metrics *prometheus.Registry
	// Ready tells systemd that every door answers.
	Ready func()
	// Fail ends the daemon with an error, from wherever it is seen.
	Fail context.CancelCauseFunc
	// Reload carries one value for each SIGHUP.
	Reload <-chan os.Signal
	// Load reads the configuration anew.
	Load func() (*config.Config, error)
}

// Socket is the path of a daemon's hatch at the gateway: RUN/NAME.sock.
func (e Env) Socket(name string) string { return filepath.Join(e.Config.Run, name+".sock") }

// Main runs a daemon until SIGTERM or SIGINT, and exits 1 with one line on standard error where it cannot.
func Main(name string, run func(ctx context.Context, env Env) error) {
	app := &cli.App{
		Name:            "dittofs-" + name,
		Usage:           "a daemon of DittoFS Gateway",
		Version:         Version,
		HideHelpCommand: true,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "config", Usage: "configuration `FILE`", Value: config.Path},
		},
		Action: func(c *cli.Context) error {
			if c.NArg() != 0 {
				return fmt.Errorf("unexpected argument %q", c.Args().First())
			}
			return serve(c.Context, name, c.String("config"), run)
		},
	}
	if err := app.Run(os.Args); err != nil {
		fmt.Fprintf(os.Stderr, "dittofs-%s: %v\n", name, err)
		os.Exit(1)
	}
}

func serve(ctx context.Context, name, path string, run func(context.Context, Env) error) error {
	syscall.Umask(0) // modes are the clients' to choose
	cfg, err := config.Load(path)
	if err != nil {
		return err
	}
	var level slog.Level
	level.UnmarshalText([]byte(cfg.LogLevel))
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level})).With("daemon", name)

	failed, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	ctx, stop := signal.NotifyContext(failed, syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)

	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	if err := os.MkdirAll(cfg.Run, 0o755); err != nil {
		return err
	}
	closeMetrics, err := serveMetrics(filepath.Join(cfg.Run, name+".metrics"), reg)
	if err != nil {
		return err
	}
	defer closeMetrics()

	env := Env{Name: name, Config: cfg, Log: log, Metrics: reg, Fail: fail, Reload: hup, Load: func() (*config.Config, error) { return config.Load(path) }, Ready: func() {
		sd.SdNotify(false, sd.SdNotifyReady)
		log.Info("ready")
	}}
	err = run(ctx, env)
	sd.SdNotify(false, sd.SdNotifyStopping)
	if errors.Is(err, context.Canceled) && ctx.Err() != nil {
		err = context.Cause(failed) // nil after a signal
	}
	return err
}

// serveMetrics serves /metrics on a Unix socket of mode 0660, for the gateway, which shows every daemon's at its one HTTP port.
func serveMetrics(path string, reg *prometheus.Registry) (stop func(), err error) {
	os.Remove(path)
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	os.Chmod(path, 0o660)
	mux := http.NewServeMux()
	mux.Handle("/metrics", promhttp.HandlerFor(reg, promhttp.HandlerOpts{}))
	mux.HandleFunc("/debug/pprof/", pprof.Index) // for root on this host only: curl --unix-socket
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	srv := &http.Server{Handler: mux}
	go srv.Serve(l)
	return func() { srv.Close() }, nil
}
