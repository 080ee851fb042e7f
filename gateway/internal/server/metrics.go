package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"golang.org/x/sync/errgroup"

	"dittofs/gateway/daemon"
)

// serveMetrics serves /metrics of all five daemons at one address: each family once, each sample with the label daemon.
func serveMetrics(ctx context.Context, g *errgroup.Group, env daemon.Env) (addr string, err error) {
	host := env.Config.Listen
	if host == "" {
		host = "127.0.0.1"
	}
	l, err := net.Listen("tcp", hostPort(host, env.Config.Ports.Metrics))
	if err != nil {
		return "", fmt.Errorf("metrics: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle("/metrics", promhttp.HandlerFor(gatherer(env.Config.Run), promhttp.HandlerOpts{}))
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	g.Go(func() error {
		if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	context.AfterFunc(ctx, func() { srv.Close() })
	return l.Addr().String(), nil
}

// gatherer asks every daemon at its socket in dir. A daemon that does not answer is left out.
func gatherer(dir string) prometheus.Gatherer {
	return prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) {
		sockets, err := filepath.Glob(filepath.Join(dir, "*.metrics"))
		if err != nil {
			return nil, err
		}
		all := map[string]*dto.MetricFamily{}
		for _, path := range sockets {
			name := strings.TrimSuffix(filepath.Base(path), ".metrics")
			families, err := scrape(path)
			if err != nil {
				continue
			}
			for _, f := range families {
				for _, m := range f.Metric {
					m.Label = append(m.Label, &dto.LabelPair{Name: ptr("daemon"), Value: ptr(name)})
				}
				if have := all[f.GetName()]; have != nil {
					have.Metric = append(have.Metric, f.Metric...)
				} else {
					all[f.GetName()] = f
				}
			}
		}
		list := make([]*dto.MetricFamily, 0, len(all))
		for _, f := range all {
			list = append(list, f)
		}
		slices.SortFunc(list, func(a, b *dto.MetricFamily) int { return strings.Compare(a.GetName(), b.GetName()) })
		return list, nil
	})
}

func scrape(path string) (map[string]*dto.MetricFamily, error) {
	c := http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", path)
		},
	}}
	r, err := c.Get("http://daemon/metrics")
	if err != nil {
		return nil, err
	}
	defer r.Body.Close()
	p := expfmt.NewTextParser(model.UTF8Validation)
	return p.TextToMetricFamilies(r.Body)
}

func ptr(s string) *string { return &s }
