"""Go handlers: found by their parameters and by their routes, with what stands in front of them in this file and in others."""

from __future__ import annotations

import pytest

from agentreview.git import open_repository
from agentreview.review import judge_index
from agentreview.syntax.facts import Analysis
from engine import analysis, concepts, facts_of

CHI = """
package api

import (
	"net/http"

	"github.com/go-chi/chi/v5"

	"example.org/clinic/visits"
)

var common = []func(http.Handler) http.Handler{RequireAuth, Trace}

func (h *Handlers) Routes(r chi.Router) {
	r.Get("/health", h.Health)
	r.Get("/open/{id}", h.Open)
	r.Group(func(r chi.Router) {
		r.Use(RequireAuth)
		r.Get("/patients", h.List)
		r.With(RequireRole("nurse")).Post("/patients", http.HandlerFunc(h.Create))
		r.Get("/visits/{id}", visits.Show)
	})
	r.With(append(common, Trace)...).Get("/listed", h.Listed)
	sub := chi.NewRouter()
	sub.Get("/late", h.Late)
	r.Mount("/sub", sub)
	client.Get(ctx, "key")
}

func (h *Handlers) Open(w http.ResponseWriter, r *http.Request)   {}
func (h *Handlers) List(w http.ResponseWriter, r *http.Request)   {}
func (h *Handlers) Create(w http.ResponseWriter, r *http.Request) {}
func (h *Handlers) Listed(w http.ResponseWriter, r *http.Request) {}
func (h *Handlers) Late(w http.ResponseWriter, r *http.Request)   {}
func helper(w http.ResponseWriter, r *http.Request, id string)    {}
func Trace(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { next.ServeHTTP(w, r) })
}
func Built(store *Store) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { store.Get(r.PathValue("id")) }
}
"""


def controls(found: Analysis, name: str) -> list[str]:
    """Calls of the controls in front of an endpoint."""
    own = next(o for o in found.units.values() if o.unit.qualname.endswith(name))
    return [f.call for f in own.facts if f.concept == "authn"]


def paths(found: Analysis) -> dict[str, str]:
    """Endpoints by name, with their paths."""
    return {e.unit.qualname: e.path for e in found.endpoints.values()}


def test_handlers_are_found_by_their_parameters_and_joined_with_their_routes():
    found = analysis(CHI, "api/routes.go")
    assert paths(found) == {
        "Handlers.Open": "/open/{id}",
        "Handlers.List": "/patients",
        "Handlers.Create": "/patients",
        "Handlers.Listed": "/listed",
        "Handlers.Late": "/late",
        "Built": "",
        "Handlers.Routes.Get /health": "/health",
        "Handlers.Routes.Get /visits/{id}": "/visits/{id}",
    }
    guessed = {e.unit.name for e in found.endpoints.values() if e.guessed}
    assert guessed == {"Built"}


@pytest.mark.parametrize(
    ("handler", "in_front"),
    [
        ("Handlers.Open", []),
        ("Handlers.List", ["RequireAuth"]),
        ("Handlers.Create", ["RequireRole", "RequireAuth"]),
        ("Get /visits/{id}", ["RequireAuth"]),
        ("Handlers.Listed", ["RequireAuth"]),
        ("Handlers.Late", []),
    ],
)
def test_a_group_holds_for_what_is_registered_in_it_and_for_nothing_else(handler, in_front):
    assert controls(analysis(CHI, "api/routes.go"), handler) == in_front


@pytest.mark.parametrize(
    ("library", "source", "closed", "opened"),
    [
        (
            "github.com/gin-gonic/gin",
            """
func Register(r *gin.Engine, h *H) {
	r.POST("/open", h.Open)
	api := r.Group("/api", middleware.JWT())
	{
		admin := api.Group("/admin")
		admin.DELETE("/closed/:id", h.Closed)
	}
}
func (h *H) Open(c *gin.Context)   {}
func (h *H) Closed(c *gin.Context) {}
""",
            "H.Closed",
            "H.Open",
        ),
        (
            "github.com/labstack/echo/v4",
            """
func Register(e *echo.Echo, h *H) {
	e.GET("/open", h.Open)
	e.GET("/closed", h.Closed, RequireLogin)
}
func (h *H) Open(c echo.Context) error   { return nil }
func (h *H) Closed(c echo.Context) error { return nil }
""",
            "H.Closed",
            "H.Open",
        ),
        (
            "github.com/gofiber/fiber/v2",
            """
func Register(app *fiber.App, h *H) {
	app.Get("/open", h.Open)
	v1 := app.Group("/v1", authRequired)
	v1.Get("/closed", h.Closed)
}
func (h *H) Open(c *fiber.Ctx) error   { return nil }
func (h *H) Closed(c *fiber.Ctx) error { return nil }
""",
            "H.Closed",
            "H.Open",
        ),
        (
            "github.com/gorilla/mux",
            """
func Register(r *mux.Router, h *H) {
	r.HandleFunc("/open", h.Open).Methods("GET")
	s := r.PathPrefix("/api").Subrouter()
	s.Use(authMiddleware)
	s.HandleFunc("/closed/{id}", h.Closed).Methods("GET")
}
func (h *H) Open(w http.ResponseWriter, r *http.Request)   {}
func (h *H) Closed(w http.ResponseWriter, r *http.Request) {}
""",
            "H.Closed",
            "H.Open",
        ),
        (
            "net/http",
            """
func Register(mux *http.ServeMux, h *H) {
	mux.HandleFunc("GET /open/{id}", h.Open)
	mux.Handle("GET /closed/{id}", requireAuth(http.HandlerFunc(h.Closed)))
}
func (h *H) Open(w http.ResponseWriter, r *http.Request)   {}
func (h *H) Closed(w http.ResponseWriter, r *http.Request) {}
""",
            "H.Closed",
            "H.Open",
        ),
    ],
    ids=["gin", "echo", "fiber", "gorilla", "net-http"],
)
def test_every_router_says_what_is_closed(library, source, closed, opened):
    found = analysis(f'package api\n\nimport (\n\t"net/http"\n\t"{library}"\n)\n{source}', "api/routes.go")
    assert controls(found, closed)
    assert not controls(found, opened)
    assert not found.endpoints[id(next(u for u in found.module.units if u.qualname == opened))].guessed


def test_a_router_that_is_wrapped_or_handed_on_is_closed_where_it_is_used():
    found = analysis(
        """
package main

import "net/http"

func main() {
	mux := http.NewServeMux()
	mux.HandleFunc("/wrapped", show)
	patients(mux)
	http.ListenAndServe(":8080", requireAuth(mux))
}

func patients(mux *http.ServeMux) { mux.HandleFunc("/handed", list) }
func show(w http.ResponseWriter, r *http.Request) {}
func list(w http.ResponseWriter, r *http.Request) {}
""",
        "main.go",
    )
    assert controls(found, "show")
    assert controls(found, "list")


STORE = """
package api

import (
	"encoding/json"
	"net/http"

	"gorm.io/gorm"
)

func (h *H) Show(w http.ResponseWriter, r *http.Request) {
	var patient models.Patient
	err := h.db.Where("id = ? AND org_id = ?", r.PathValue("id"), orgOf(r)).First(&patient).Error
	json.NewEncoder(w).Encode(patient)
	log.Println(err)
}

func (h *H) Create(w http.ResponseWriter, r *http.Request) {
	var patient models.Patient
	json.NewDecoder(r.Body).Decode(&patient)
	h.db.Create(&patient)
}

func (h *H) Copy(w http.ResponseWriter, r *http.Request) {
	var input CreatePatientInput
	json.NewDecoder(r.Body).Decode(&input)
	patient := models.Patient{Name: input.Name}
	h.db.Create(&patient)
	var other models.Patient
	json.NewDecoder(answer.Body).Decode(&other)
	h.db.Create(&other)
}

func (h *H) Named(w http.ResponseWriter, r *http.Request) {
	one, err := h.store.GetPatient(r.Context(), r.PathValue("id"))
	all, err := h.store.ListVisitsByOrg(r.Context(), orgOf(r))
	h.store.DeleteOldRows(r.Context(), r.FormValue("before"))
}
"""


def test_gorm_fills_its_argument_and_its_conditions_are_read():
    found = analysis(STORE, "api/patients.go")
    [read] = facts_of(found, "H.Show", "read")
    assert (read.resource, read.keyed, read.scoped, read.single) == ("Patient", True, True, True)
    [answer] = facts_of(found, "H.Show", "respond")
    assert answer.labels == (("phi-object", "patient"),)
    [log] = facts_of(found, "H.Show", "log")
    assert log.labels == ()  # what First returns is an error, not the row


def test_a_decoded_body_is_assigned_whole_only_as_a_row_and_only_from_the_client():
    found = analysis(STORE, "api/patients.go")
    assert "mass-assign" in concepts(found, "H.Create")
    assert "mass-assign" not in concepts(found, "H.Copy")


def test_a_store_says_by_its_method_which_rows_it_reads():
    found = analysis(STORE, "api/patients.go")
    one, several = facts_of(found, "H.Named", "read")
    assert (one.resource, one.single, one.keyed) == ("Patient", True, True)
    assert (several.resource, several.single, several.scoped) == ("Visit", False, True)
    [gone] = facts_of(found, "H.Named", "delete")
    assert not gone.keyed  # a date is no row's key


HANDLER = """
package api

import "github.com/gin-gonic/gin"

func (h *Handlers) Delete(c *gin.Context) {
	h.store.DeletePatient(c, c.Param("id"))
}
"""
ROUTES = """
package api

import "github.com/gin-gonic/gin"

func Register(r *gin.Engine, h *Handlers) {
	api := r.Group("/api"{middleware})
	api.DELETE("/patients/:id", h.Delete)
}
"""
AUDITED = ", RequireUser(), AuditTrail()"


def rules(repo, path: str) -> set[str]:
    """Ids of what is found in one staged file."""
    verdict = judge_index(open_repository(str(repo.path)), fresh=True)
    return {f.rule for f in verdict.findings if f.path == path}


@pytest.mark.parametrize(("middleware", "recorded"), [(AUDITED, True), ("", False)])
def test_a_group_in_another_file_of_the_package_holds_for_its_handlers(repo, middleware, recorded):
    repo.commit({"api/routes.go": ROUTES.replace("{middleware}", middleware)})
    repo.stage({"api/patients.go": HANDLER})
    assert ("hipaa.audit-phi-write" in rules(repo, "api/patients.go")) is not recorded


def test_a_route_outside_the_closed_group_is_asked_about_where_it_is_registered(repo):
    repo.commit({"api/patients.go": HANDLER, "api/routes.go": ROUTES.replace("{middleware}", ", RequireUser()")})
    opened = ROUTES.replace("{middleware}", ", RequireUser()").replace(
        '\tapi.DELETE("/patients/:id", h.Delete)', '\tr.DELETE("/patients/:id", h.Delete)'
    )
    repo.stage({"api/routes.go": opened})
    assert "access.endpoint-auth" in rules(repo, "api/routes.go")


def test_a_handler_that_asks_by_itself_in_another_file_needs_no_middleware(repo):
    asking = HANDLER.replace(
        "\th.store", '\tif !c.GetBool("user") {\n\t\tc.AbortWithStatus(401)\n\t\treturn\n\t}\n\th.store'
    )
    repo.commit({"api/patients.go": asking})
    repo.stage({"api/routes.go": ROUTES.replace("{middleware}", "")})
    assert "access.endpoint-auth" not in rules(repo, "api/routes.go")
