package rest

import "github.com/danielgtaylor/huma/v2"

// document completes the OpenAPI document with what huma can't know, and takes
// out what does not exist: its own form of errors, and the media type that it
// adds for a body that it leaves alone.
func document(spec *huma.OpenAPI) {
	spec.Info.Description = "Monte Carlo studies of simulations: submit a study, follow its batch, read its results. " +
		"Errors are problems after RFC 9457; lists are paged by cursor."
	spec.Tags = []*huma.Tag{
		{Name: "batches", Description: "A batch is one submitted study."},
		{Name: "jobs", Description: "A job is one run of a batch."},
		{Name: "files", Description: "What the attempts of a job left and printed."},
		{Name: "telemetry", Description: "What the attempts of a job reported while they ran."},
		{Name: "runners", Description: "Runners execute jobs."},
		{Name: "platform", Description: "The platform itself."},
	}
	schemas := spec.Components.Schemas.Map()
	// api.Number is null where JSON has no number.
	schemas["Series"].Properties["values"].Items.Nullable = true
	schemas["TelemetryValue"].Properties["value"].Nullable = true
	delete(schemas, "ErrorModel")
	delete(schemas, "ErrorDetail")
	delete(spec.Paths[submitPath].Post.RequestBody.Content, "application/octet-stream")
}
