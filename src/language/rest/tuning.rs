//! Fine-tuning and distillation jobs (reference, section 2.11).

use serde_json::{Value as Json, json};

use super::super::case::camel_case;
use super::super::value::{Entry, Object, Value};
use super::envelope::{common, envelope};
use super::fields::{Fields, get, plain, put};
use super::{dump, io, python, settings};

/// The body of a fine-tuning job.
pub(super) fn finetuning(object: &Object) -> Result<Json, String> {
    let mut fields = common(object, "FineTuning");
    let custom = object.class == "CustomModelFineTuning";
    if !custom {
        for name in ["computeId", "services"] {
            fields.remove(name);
        }
    }
    fields.remove("identity");
    let mut details = Fields::new();
    put(&mut details, "taskType", get(object, "task"));
    details.insert("modelProvider".to_owned(), json!(if custom { "Custom" } else { "AzureOpenAI" }));
    put(&mut details, "model", object.get("model").map(|v| data(v, "mlflow_model")));
    put(&mut details, "trainingData", object.get("training_data").map(|v| data(v, "uri_file")));
    put(&mut details, "validationData", object.get("validation_data").map(|v| data(v, "uri_file")));
    let parameters = object.get("hyperparameters").map(|v| match v.object() {
        Some(inner) => inner.fields.iter().map(|e| (camel_case(&e.key), plain(&e.value))).collect::<Fields>().into(),
        None => plain(v),
    });
    put(&mut details, "hyperParameters", parameters);
    fields.insert("fineTuningDetails".to_owned(), Json::Object(details));
    fields.insert("outputs".to_owned(), Json::Object(io::job_outputs(object.map("outputs"))));
    if custom {
        if let Some(resources) = object.get("resources").and_then(Value::object) {
            let types = get(resources, "instance_types");
            fields.insert("resources".to_owned(), json!({ "instanceTypes": types }));
        }
        if let Some(queue) = object.get("queue_settings").and_then(Value::object) {
            fields.insert("queueSettings".to_owned(), Json::Object(settings::queue_settings(queue, false)));
        }
    }
    Ok(envelope(object, fields))
}

/// An input of data, or a text that is the path of one.
fn data(value: &Value, kind: &str) -> Json {
    match value.object() {
        Some(object) => {
            let mut fields = Fields::new();
            fields.insert("jobInputType".to_owned(), json!(kind));
            put(&mut fields, "uri", get(object, "path"));
            Json::Object(fields)
        }
        None => json!({ "jobInputType": kind, "uri": plain(value) }),
    }
}

/// A connection as its schema dumps it: what describes it is kept twice, as tags and as metadata.
fn connection(object: &Object) -> Json {
    let serverless = object.class == "ServerlessConnection";
    let mut fields = Fields::new();
    put(&mut fields, "name", get(object, "name"));
    put(&mut fields, "description", get(object, "description"));
    let mut metadata: Fields = Fields::new();
    for name in ["tags", "metadata"] {
        metadata.extend(object.map(name).iter().map(|e| (e.key.clone(), plain(&e.value))));
    }
    fields.insert("tags".to_owned(), Json::Object(metadata.clone()));
    put(&mut fields, "type", get(object, "type"));
    put(&mut fields, "target", get(object, if serverless { "endpoint" } else { "target" }));
    let credentials = match dump::field(object, "credentials") {
        Some(credentials) => credentials,
        None if serverless => json!({ "type": "api_key", "key": get(object, "api_key") }),
        None if object.text("type") == Some("azure_data_lake_gen2") => json!({ "type": "aad" }),
        None => json!({ "type": "none" }),
    };
    fields.insert("credentials".to_owned(), credentials);
    fields.insert("is_shared".to_owned(), get(object, "is_shared").unwrap_or_else(|| json!(true)));
    fields.insert("metadata".to_owned(), Json::Object(metadata));
    for name in ["api_key", "endpoint"] {
        put(&mut fields, name, get(object, name).filter(|_| serverless));
    }
    Json::Object(fields)
}

/// The body of a distillation job: a fine-tuning job with its own settings among the properties.
pub(super) fn distillation(object: &Object) -> Result<Json, String> {
    let mut fields = common(object, "FineTuning");
    for name in ["computeId", "identity"] {
        fields.remove(name);
    }
    let mut details = Fields::new();
    details.insert("taskType".to_owned(), json!("ChatCompletion"));
    details.insert("modelProvider".to_owned(), json!("Custom"));
    put(&mut details, "model", object.get("student_model").map(|v| data(v, "mlflow_model")));
    put(&mut details, "trainingData", object.get("training_data").map(|v| data(v, "uri_file")));
    put(&mut details, "validationData", object.get("validation_data").map(|v| data(v, "uri_file")));
    let parameters = object.get("hyperparameters").and_then(Value::map);
    let texts =
        |all: &[Entry]| Json::Object(all.iter().map(|e| (e.key.clone(), json!(e.value.python_str()))).collect());
    put(&mut details, "hyperParameters", parameters.map(texts));
    fields.insert("fineTuningDetails".to_owned(), Json::Object(details));
    fields.insert("outputs".to_owned(), Json::Object(io::job_outputs(object.map("outputs"))));
    let mut properties: Fields = match fields.remove("properties") {
        Some(Json::Object(properties)) => properties,
        _ => Fields::new(),
    };
    let mut put_text = |key: &str, text: String| {
        properties.insert(key.to_owned(), json!(text));
    };
    put_text("azureml.enable_distillation", "True".to_owned());
    let kind = object.text("data_generation_task_type").unwrap_or_default();
    put_text("azureml.data_generation_task_type", kind.to_uppercase());
    if let Some(connection) = object.get("teacher_model_endpoint_connection").and_then(Value::object) {
        put_text("azureml.teacher_model.endpoint_name", connection.text("name").unwrap_or("None").to_owned());
        let mut text = String::new();
        python::json_text(&self::connection(connection), &mut text);
        put_text("azureml.connection_information", text);
    }
    put_text("azureml.data_generation_type", object.text("data_generation_type").unwrap_or_default().to_owned());
    if let Some(prompt) = object.get("prompt_settings").and_then(Value::object) {
        for (name, default) in [
            ("enable_chain_of_thought", Some("False")),
            ("enable_chain_of_density", Some("False")),
            ("max_len_summary", None),
        ] {
            let text = prompt.get(name).map(Value::python_str).or_else(|| default.map(str::to_owned));
            if let Some(text) = text {
                put_text(&format!("azureml.{name}"), text);
            }
        }
    }
    if let Some(teacher) = object.get("teacher_model_settings").and_then(Value::object) {
        for entry in teacher.map("inference_parameters") {
            put_text(&format!("azureml.teacher_model.{}", entry.key), entry.value.python_str());
        }
        if let Some(request) = teacher.get("endpoint_request_settings").and_then(Value::object) {
            for entry in &request.fields {
                put_text(&format!("azureml.{}", entry.key), entry.value.python_str());
            }
        }
    }
    if let Some(kind) = object.get("resources").and_then(Value::object).and_then(|r| r.text("instance_type")) {
        put_text("azureml.instance_type.data_generation", kind.to_owned());
    }
    fields.insert("properties".to_owned(), Json::Object(properties));
    Ok(envelope(object, fields))
}
