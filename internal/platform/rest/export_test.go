package rest

import (
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
)

// Document makes the OpenAPI document as New does.
func Document() *huma.OpenAPI {
	a := humago.New(http.NewServeMux(), config("1.2.3"))
	(&handler{}).register(a)
	return a.OpenAPI()
}

// Harmless is the name that a file is offered under.
var Harmless = harmless
