//! OpenTelemetry and Prometheus set-up, names of spans and metrics, the in-memory trace store.
