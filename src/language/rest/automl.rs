//! AutoML jobs and nodes (reference, sections 2.10, 8.3 and 8.4).

use serde_json::{Value as Json, json};

use super::super::case::camel_case;
use super::super::grammar::grammar;
use super::super::value::{Data, Entry, Object, Value};
use super::envelope::{common, envelope};
use super::fields::{Fields, duration, get, integer, plain, put, python_str, without_empty};
use super::{dump, io, search_space};
use crate::yaml::Literal;

/// The body of a standalone AutoML job.
pub(super) fn job(object: &Object) -> Result<Json, String> {
    let mut fields = common(object, "AutoML");
    fields.insert("outputs".to_owned(), Json::Object(io::job_outputs(object.map("outputs"))));
    put(&mut fields, "environmentId", get(object, "environment_id"));
    put(&mut fields, "environmentVariables", get(object, "environment_variables"));
    if let Some(resources) = object.get("resources").and_then(Value::object) {
        let names = ["locations", "instance_count", "instance_type", "shm_size", "max_instance_count", "docker_args"];
        fields.insert("resources".to_owned(), as_held(resources, &names));
    }
    if let Some(queue) = object.get("queue_settings").and_then(Value::object) {
        fields.insert("queueSettings".to_owned(), as_held(queue, &["job_tier", "priority"]));
    }
    fields.insert("taskDetails".to_owned(), Json::Object(task(object)));
    Ok(envelope(object, fields))
}

/// The SDK sends some settings of a job as it holds them: under its own names, and null for what is not given.
fn as_held(settings: &Object, names: &[&str]) -> Json {
    Json::Object(names.iter().map(|name| ((*name).to_owned(), get(settings, name).unwrap_or_default())).collect())
}

/// Words that are not just their parts with capitals.
const WORDS: [(&str, &str); 16] = [
    ("sgd", "SGD"),
    ("svm", "SVM"),
    ("linear_svm", "LinearSVM"),
    ("knn", "KNN"),
    ("light_gbm", "LightGBM"),
    ("xg_boost_classifier", "XGBoostClassifier"),
    ("xg_boost_regressor", "XGBoostRegressor"),
    ("tcn_forecaster", "TCNForecaster"),
    ("auc_weighted", "AUCWeighted"),
    ("iou", "IOU"),
    ("text_ner", "TextNER"),
    ("logistic_regression_cv", "LogisticRegressionCV"),
    ("light_gbm_classifier", "LightGBMClassifier"),
    ("elastic_net_cv", "ElasticNetCV"),
    ("light_gbm_regressor", "LightGBMRegressor"),
    ("", ""),
];

/// The service's word for one of the YAML's: `auc_weighted` is `AUCWeighted`.
fn word(text: &str) -> String {
    if let Some((_, special)) = WORDS.iter().find(|(name, _)| *name == text) {
        return (*special).to_owned();
    }
    text.split('_')
        .map(|part| {
            let mut chars = part.chars();
            chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
        })
        .collect()
}

fn worded(object: &Object, name: &str) -> Option<Json> {
    object.text(name).map(|t| json!(word(t)))
}

/// A list of words.
fn all_worded(object: &Object, name: &str) -> Option<Json> {
    let items = object.get(name)?.list()?;
    Some(items.iter().filter_map(Value::text).map(word).collect())
}

fn minutes(object: &Object, name: &str) -> Option<Json> {
    integer(object, name).map(|m| json!(duration(m * 60)))
}

fn task(object: &Object) -> Fields {
    let mut fields = Fields::new();
    put(&mut fields, "taskType", worded(object, "task"));
    put(&mut fields, "primaryMetric", worded(object, "primary_metric"));
    put(&mut fields, "logVerbosity", worded(object, "log_verbosity"));
    for name in [
        "target_column_name",
        "validation_data_size",
        "test_data_size",
        "weight_column_name",
        "cv_split_column_names",
        "positive_label",
    ] {
        put(&mut fields, &camel_case(name), get(object, name));
    }
    for name in ["training_data", "validation_data", "test_data"] {
        if let Some(data) = object.get(name).and_then(Value::object) {
            let mut body = Fields::new();
            body.insert("jobInputType".to_owned(), json!("mltable"));
            put(&mut body, "uri", get(data, "path"));
            fields.insert(camel_case(name), Json::Object(body));
        }
    }
    put(&mut fields, "nCrossValidations", object.get("n_cross_validations").and_then(auto_or_custom));
    let image = object.class.starts_with("Image");
    let text = object.class.starts_with("Text");
    let limits = object.get("limits").and_then(Value::object);
    let mut body = limits.map_or_else(Fields::new, |limits| self::limits(limits, !image && !text));
    if text {
        // The SDK's limits of text tasks have defaults of their own.
        for name in ["maxNodes", "maxTrials"] {
            body.entry(name).or_insert_with(|| json!(1));
        }
    }
    if text || image || limits.is_some() {
        fields.insert("limitSettings".to_owned(), Json::Object(body));
    }
    if let Some(settings) = object.get("featurization").and_then(Value::object) {
        fields.insert("featurizationSettings".to_owned(), Json::Object(featurization(settings)));
    }
    if let Some(settings) = object.get("training").and_then(Value::object) {
        fields.insert("trainingSettings".to_owned(), Json::Object(training(settings)));
    }
    if let Some(settings) = object.get("forecasting").and_then(Value::object) {
        fields.insert("forecastingSettings".to_owned(), Json::Object(forecasting(settings)));
    }
    if let Some(sweep) = object.get("sweep").and_then(Value::object) {
        let mut body = Fields::new();
        put(&mut body, "samplingAlgorithm", get(sweep, "sampling_algorithm"));
        if let Some(policy) = sweep.get("early_termination").and_then(Value::object) {
            body.insert("earlyTermination".to_owned(), Json::Object(search_space::policy_body(policy, false)));
        }
        fields.insert("sweepSettings".to_owned(), Json::Object(body));
    }
    if let Some(parameters) = object.get("training_parameters").and_then(Value::object) {
        let name = if text { "fixedParameters" } else { "modelSettings" };
        let mut body = parameters_body(parameters);
        if text {
            null_for_the_rest(parameters, &mut body);
        }
        fields.insert(name.to_owned(), Json::Object(body));
    }
    if let Some(spaces) = object.get("search_space").and_then(Value::list) {
        let all = spaces.iter().filter_map(Value::object).map(|s| {
            let mut given: Fields = s.fields.iter().map(|e| (camel_case(&e.key), json!(space(&e.value)))).collect();
            if text {
                null_for_the_rest(s, &mut given);
            }
            Json::Object(given)
        });
        fields.insert("searchSpace".to_owned(), all.collect());
    }
    fields
}

/// Of a text task the SDK sends all parameters, and null for those that are not given.
fn null_for_the_rest(parameters: &Object, body: &mut Fields) {
    for rule in grammar().class(parameters.class).fields.iter().filter(|rule| !rule.read_only) {
        body.entry(camel_case(&rule.name)).or_insert(Json::Null);
    }
}

fn limits(limits: &Object, tabular: bool) -> Fields {
    let mut body = Fields::new();
    for name in [
        "enable_early_termination",
        "exit_score",
        "max_concurrent_trials",
        "max_cores_per_trial",
        "max_trials",
        "max_nodes",
    ] {
        put(&mut body, &camel_case(name), get(limits, name));
    }
    put(&mut body, "timeout", minutes(limits, "timeout_minutes"));
    put(&mut body, "trialTimeout", minutes(limits, "trial_timeout_minutes"));
    if tabular {
        body.insert("sweepConcurrentTrials".to_owned(), json!(0));
        body.insert("sweepTrials".to_owned(), json!(0));
    }
    body
}

fn featurization(settings: &Object) -> Fields {
    let mut body = Fields::new();
    put(&mut body, "blockedTransformers", all_worded(settings, "blocked_transformers"));
    for name in ["column_name_and_types", "dataset_language", "mode", "enable_dnn_featurization"] {
        put(&mut body, &camel_case(name), get(settings, name));
    }
    if settings.class == "TableFeaturizationSettings" {
        let parameters = settings.map("transformer_params").iter().map(|e: &Entry| (word(&e.key), plain(&e.value)));
        body.insert("transformerParams".to_owned(), Json::Object(parameters.collect()));
    }
    body
}

fn training(settings: &Object) -> Fields {
    let mut body = Fields::new();
    for name in [
        "enable_dnn_training",
        "enable_onnx_compatible_models",
        "enable_model_explainability",
        "enable_stack_ensemble",
        "enable_vote_ensemble",
    ] {
        put(&mut body, &camel_case(name), get(settings, name));
    }
    put(&mut body, "ensembleModelDownloadTimeout", minutes(settings, "ensemble_model_download_timeout_minutes"));
    put(&mut body, "allowedTrainingAlgorithms", all_worded(settings, "allowed_training_algorithms"));
    put(&mut body, "blockedTrainingAlgorithms", all_worded(settings, "blocked_training_algorithms"));
    put(&mut body, "trainingMode", worded(settings, "training_mode"));
    if let Some(stack) = settings.get("stack_ensemble_settings").and_then(Value::object) {
        let mut inner = Fields::new();
        put(&mut inner, "stackMetaLearnerKWargs", get(stack, "stack_meta_learner_kwargs"));
        put(&mut inner, "stackMetaLearnerTrainPercentage", get(stack, "stack_meta_learner_train_percentage"));
        put(&mut inner, "stackMetaLearnerType", worded(stack, "stack_meta_learner_type"));
        body.insert("stackEnsembleSettings".to_owned(), Json::Object(inner));
    }
    body
}

/// `auto`, or a number.
fn auto_or_custom(value: &Value) -> Option<Json> {
    match &value.data {
        Data::Text(_) => Some(json!({ "mode": "Auto" })),
        Data::Int(digits) if digits != "0" => Some(json!({ "mode": "Custom", "value": plain(value) })),
        _ => None,
    }
}

fn forecasting(settings: &Object) -> Fields {
    let mut body = Fields::new();
    for name in [
        "country_or_region_for_holidays",
        "cv_step_size",
        "time_column_name",
        "frequency",
        "feature_lags",
        "use_stl",
        "short_series_handling_config",
        "target_aggregate_function",
    ] {
        put(&mut body, &camel_case(name), get(settings, name));
    }
    for name in ["forecast_horizon", "target_rolling_window_size", "seasonality"] {
        put(&mut body, &camel_case(name), settings.get(name).and_then(auto_or_custom));
    }
    let lags = settings.get("target_lags").and_then(|v| match &v.data {
        Data::List(items) if !items.is_empty() => Some(json!({ "mode": "Custom", "values": plain(v) })),
        Data::Int(_) => Some(json!({ "mode": "Custom", "values": [plain(v)] })),
        Data::Text(_) => Some(json!({ "mode": "Auto" })),
        _ => None,
    });
    put(&mut body, "targetLags", lags);
    for name in ["time_series_id_column_names", "features_unknown_at_forecast_time"] {
        let list = settings.get(name).map(|v| if v.text().is_some() { json!([plain(v)]) } else { plain(v) });
        put(&mut body, &camel_case(name), list);
    }
    body
}

fn parameters_body(parameters: &Object) -> Fields {
    const WORDED: [&str; 4] = ["learning_rate_scheduler", "optimizer", "model_size", "validation_metric_type"];
    let mut body = Fields::new();
    for entry in parameters.fields.iter().filter(|e| !e.value.is_null()) {
        let value = match entry.value.text() {
            Some(text) if WORDED.contains(&entry.key.as_str()) => json!(word(text)),
            _ => plain(&entry.value),
        };
        body.insert(camel_case(&entry.key), value);
    }
    body
}

/// A search space as text: `uniform(0.005,0.05)`, `choice('small','medium')`, or the value itself.
fn space(value: &Value) -> String {
    if value.object().is_none() {
        return decimal(value);
    }
    let Json::Array(parts) = search_space::space(value) else { return String::new() };
    let kind = parts.first().and_then(Json::as_str).unwrap_or_default().to_owned();
    let object = value.object();
    let arguments: Vec<String> = if kind == "choice" {
        let values = object.and_then(|o| o.get("values")).and_then(Value::list).unwrap_or_default();
        let with_fractions = values.iter().any(|v| matches!(v.data, Data::Float(_)));
        let argument = |value: &Value| match &value.data {
            Data::Text(text) => format!("'{text}'"),
            Data::Int(digits) if with_fractions => format!("{digits}.0"),
            _ => decimal(value),
        };
        values.iter().map(argument).collect()
    } else {
        ["min_value", "max_value", "mu", "sigma", "upper", "q"]
            .iter()
            .filter_map(|n| object.and_then(|o| o.get(n)))
            .map(decimal)
            .collect()
    };
    format!("{kind}({})", arguments.join(","))
}

/// A number without an exponent; everything else as Python prints it.
fn decimal(value: &Value) -> String {
    match value.literal() {
        Some(Literal::Float(number)) => {
            let text = format!("{number}");
            if text.contains('.') || !number.is_finite() { text } else { format!("{text}.0") }
        }
        _ => python_str(value),
    }
}

/// The body of an AutoML node.
pub(super) fn node(name: &str, node: &Object) -> Json {
    let class = grammar().class(node.class);
    let mut fields = Fields::new();
    for entry in &node.fields {
        if class.field(&entry.key).is_some() && !entry.value.is_null() {
            put(&mut fields, &entry.key, dump::field(node, &entry.key));
        }
    }
    fields.insert("name".to_owned(), json!(name));
    if node.class.starts_with("Text") {
        let limits = fields.entry("limits").or_insert_with(|| json!({}));
        for name in ["max_nodes", "max_trials"] {
            if limits.get(name).is_none() {
                limits[name] = json!(1);
            }
        }
    }
    for field in ["tags", "properties"] {
        fields.entry(field).or_insert_with(|| json!({}));
    }
    if let Some(policy) = node.get("sweep").and_then(Value::object).and_then(|s| s.get("early_termination"))
        && let Some(policy) = policy.object()
        && let Some(body) = fields.get_mut("sweep").and_then(|s| s.get_mut("early_termination"))
    {
        let mut all = search_space::policy_body(policy, true);
        all.remove("policy_type");
        all.insert("type".to_owned(), get(policy, "type").unwrap_or_default());
        *body = Json::Object(all);
    }
    for field in ["training_data", "validation_data", "test_data"] {
        if let Some(data) = node.get(field).and_then(Value::object) {
            let path = data.text("path").map(|path| format!(", 'path': '{path}'")).unwrap_or_default();
            fields.insert(field.to_owned(), json!(format!("{{'type': 'mltable'{path}}}")));
        }
    }
    fields.insert("outputs".to_owned(), Json::Object(io::node_outputs(node.map("outputs"), None)));
    let mut body = without_empty_but(Json::Object(fields));
    // A space without parameters is sent. Those of a text task are sent as they are written, others as text.
    if let Some(spaces) = node.get("search_space").and_then(Value::list) {
        let sent = |space: &Object| match node.class.starts_with("Text") {
            true => dump::object(space),
            false => space.fields.iter().map(|e| (e.key.clone(), json!(self::space(&e.value)))).collect(),
        };
        body["search_space"] = spaces.iter().filter_map(Value::object).map(|s| Json::Object(sent(s))).collect();
    }
    let always = if node.class.starts_with("Image") { "limits" } else { "training" };
    if !node.class.starts_with("Text") && body.get(always).is_none() {
        body[always] = json!({});
    }
    if let Some(Json::Object(resources)) = body.get_mut("resources") {
        resources.entry("properties").or_insert_with(|| json!({}));
    }
    body
}

/// An AutoML node of a pipeline component: what a node sends, without what is empty and with its spaces as written.
pub(super) fn dumped(name: &str, node: &Object) -> Json {
    let mut body = self::node(name, node);
    if let Some(spaces) = dump::field(node, "search_space") {
        body["search_space"] = spaces;
    }
    without_empty(body)
}

/// Takes out what is empty, but keeps the empty `tags`, `properties` and `outputs` that an AutoML node always has.
fn without_empty_but(json: Json) -> Json {
    let mut body = without_empty(json);
    for field in ["tags", "properties", "outputs"] {
        if body.get(field).is_none() {
            body[field] = json!({});
        }
    }
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_the_services() {
        assert_eq!(word("auc_weighted"), "AUCWeighted");
        assert_eq!(word("normalized_root_mean_squared_error"), "NormalizedRootMeanSquaredError");
        assert_eq!(word("extreme_random_trees"), "ExtremeRandomTrees");
        assert_eq!(word("r2_score"), "R2Score");
    }
}
