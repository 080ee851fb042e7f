package lockdb

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	commits prometheus.Histogram
	syncs   prometheus.Histogram
	batch   prometheus.Histogram
	records prometheus.Gauge
	failed  prometheus.Gauge
}

func newMetrics(r prometheus.Registerer) *metrics {
	m := &metrics{
		commits: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "dittofs_lockdb_commit_seconds",
			Help: "How long a batch takes until it may be told.", Buckets: prometheus.ExponentialBuckets(0.00001, 2, 20)}),
		syncs: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "dittofs_lockdb_sync_seconds",
			Help: "How long the lock database takes to reach the disk.", Buckets: prometheus.ExponentialBuckets(0.0001, 2, 16)}),
		batch: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "dittofs_lockdb_batch_records",
			Help: "How many records were committed together.", Buckets: prometheus.ExponentialBuckets(1, 2, 14)}),
		records: prometheus.NewGauge(prometheus.GaugeOpts{Name: "dittofs_lockdb_records", Help: "Records in the lock database."}),
		failed:  prometheus.NewGauge(prometheus.GaugeOpts{Name: "dittofs_lockdb_failed", Help: "1 when the lock database failed and nothing more is granted."}),
	}
	if r != nil {
		r.MustRegister(m.commits, m.syncs, m.batch, m.records, m.failed)
	}
	return m
}
