# What is seen: the backlog, the log's errors and parked records as metrics, alerts, a dashboard.

# The agents write it (one of them at a time); it is declared so that autoscaler and alerts find it before the first point.
resource "google_monitoring_metric_descriptor" "backlog" {
  project      = var.project
  type         = local.metric
  display_name = "Skyferry backlog"
  description  = "Messages that are not done: visible, in flight, delayed."
  metric_kind  = "GAUGE"
  value_type   = "INT64"
  unit         = "1"
}

locals {
  backlog_filter = "metric.type = \"${local.metric}\" AND resource.type = \"generic_task\" AND resource.labels.job = \"${var.queue}\""
  log            = "log_id(\"skyferry\") AND jsonPayload._SYSTEMD_UNIT = \"skyferry-agent.service\""
  counted = {
    errors = "jsonPayload.MESSAGE : \"\\\"level\\\":\\\"ERROR\\\"\""
    parked = "jsonPayload.MESSAGE =~ \"\\\"message\\\":\\\"[^\\\"]*parked\\\"\""
  }
}

resource "google_logging_metric" "this" {
  for_each    = local.counted
  project     = var.project
  name        = "${var.name}/${each.key}"
  description = "Lines of Skyferry's log: ${each.key}"
  filter      = "${local.log} AND ${each.value}"

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "INT64"
    unit        = "1"
  }
}

resource "google_monitoring_alert_policy" "parked" {
  project               = var.project
  display_name          = "${var.name}: records are parked"
  combiner              = "OR"
  notification_channels = var.notification_channels

  conditions {
    display_name = "parked records"
    condition_threshold {
      filter          = "metric.type = \"logging.googleapis.com/user/${google_logging_metric.this["parked"].name}\" AND resource.type = \"gce_instance\""
      comparison      = "COMPARISON_GT"
      threshold_value = 0
      duration        = "0s"
      aggregations {
        alignment_period     = "300s"
        per_series_aligner   = "ALIGN_DELTA"
        cross_series_reducer = "REDUCE_SUM"
      }
    }
  }

  documentation {
    content = "Objects that cannot be copied for a reason of their own. The reason is in the log, in the ledger and in the dead letter: mend it, then redrive the dead letters."
  }
}

resource "google_monitoring_alert_policy" "stuck" {
  project               = var.project
  display_name          = "${var.name}: the backlog does not end"
  combiner              = "OR"
  notification_channels = var.notification_channels

  conditions {
    display_name = "messages waiting for six hours"
    condition_threshold {
      filter          = local.backlog_filter
      comparison      = "COMPARISON_GT"
      threshold_value = 0
      duration        = "21600s"
      aggregations {
        alignment_period   = "300s"
        per_series_aligner = "ALIGN_MIN"
      }
    }
  }

  documentation {
    content = "The queue was never empty for six hours: too few machines, a side that refuses (`retries` by `denied`), or more events than usual."
  }

  depends_on = [google_monitoring_metric_descriptor.backlog]
}

resource "google_monitoring_alert_policy" "silent" {
  project               = var.project
  display_name          = "${var.name}: no agent lives"
  combiner              = "OR"
  notification_channels = var.notification_channels

  conditions {
    display_name = "nobody publishes the backlog"
    condition_absent {
      filter   = local.backlog_filter
      duration = "900s"
      aggregations {
        alignment_period   = "60s"
        per_series_aligner = "ALIGN_MAX"
      }
    }
  }

  documentation {
    content = "No agent has published the backlog for 15 minutes: none starts (its serial console tells why), or all lost the ledger or roles/monitoring.metricWriter."
  }

  depends_on = [google_monitoring_metric_descriptor.backlog]
}

locals {
  charts = [
    { title = "Backlog, messages", filter = local.backlog_filter, aligner = "ALIGN_MAX" },
    { title = "Machines", filter = "metric.type = \"compute.googleapis.com/instance_group/size\" AND resource.labels.instance_group_name = \"${var.name}\"", aligner = "ALIGN_MAX" },
    { title = "CPU", filter = "metric.type = \"compute.googleapis.com/instance/cpu/utilization\" AND metadata.user_labels.fleet = \"${var.name}\"", aligner = "ALIGN_MEAN" },
    { title = "Errors in the log", filter = "metric.type = \"logging.googleapis.com/user/${google_logging_metric.this["errors"].name}\" AND resource.type = \"gce_instance\"", aligner = "ALIGN_DELTA" },
  ]
  queries = [
    { title = "Objects a second, by outcome", query = "sum by (outcome) (rate(skyferry_objects_total[5m]))" },
    { title = "Bytes a second", query = "sum(rate(skyferry_bytes_total[5m]))" },
    { title = "Tried again, by cause", query = "sum by (cause) (rate(skyferry_retries_total[5m]))" },
    { title = "From sending to done, 95 %", query = "histogram_quantile(0.95, sum by (le) (rate(skyferry_message_age_seconds_bucket[5m])))" },
  ]
  widgets = concat(
    [for chart in local.charts : {
      title = chart.title
      xyChart = { dataSets = [{
        plotType = "LINE"
        timeSeriesQuery = { timeSeriesFilter = {
          filter      = chart.filter
          aggregation = { alignmentPeriod = "60s", perSeriesAligner = chart.aligner }
        } }
      }] }
    }],
    [for query in local.queries : {
      title   = query.title
      xyChart = { dataSets = [{ plotType = "LINE", timeSeriesQuery = { prometheusQuery = query.query } }] }
    }],
  )
}

resource "google_monitoring_dashboard" "this" {
  project = var.project
  dashboard_json = jsonencode({
    displayName = "Skyferry: ${var.name}"
    gridLayout  = { columns = "2", widgets = local.widgets }
  })
}
