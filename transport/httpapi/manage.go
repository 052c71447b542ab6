package httpapi

import (
	"encoding/base64"
	"net/http"

	"auditlog/command"
	"auditlog/eventstore"
	"auditlog/internal/canon"
	"auditlog/internal/fault"
)

// deleteOld orders a cleanup, or counts what one would take.
func (s *Server) deleteOld(w http.ResponseWriter, r *request) error {
	if r.ContentLength != 0 {
		return fault.New(fault.Malformed, "a cleanup takes no body: what goes is said by before alone")
	}
	before := r.args.time("before")
	if before == nil {
		return fault.At(fault.Invalid, "?before", "is required")
	}
	dry := r.args.flag("dry_run")
	answer, err := s.deps.Commands.Cleanup(r.Context(), r.caller(), before.Time(), dry)
	if err != nil {
		return err
	}
	if dry {
		return writeJSON(w, http.StatusOK, dryRunView{Matching: answer.Matching})
	}
	w.Header().Set("Location", "/api/v1/logs/cleanup/"+answer.ID.String())
	return writeJSON(w, http.StatusAccepted, cleanupView{ID: answer.ID.String(), Status: answer.Status})
}

func (s *Server) getCleanup(w http.ResponseWriter, r *request) error {
	j, err := s.deps.Commands.CleanupJob(r.Context(), r.tenant, r.entry)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, viewJob(&j))
}

func viewJob(j *command.CleanupJob) cleanupJobView {
	c := &j.Certificate
	return cleanupJobView{
		ID: j.ID.String(), Status: j.Status, Before: j.Before.String(), First: int64(j.First), Last: int64(j.Last), Matching: j.Matching,
		Removed: j.Removed, RequestedAt: j.RequestedAt.String(), CompletedAt: timeOrNull(j.CompletedAt),
		Certificate: certificateView{
			TenantID: c.Tenant.String(), First: int64(c.First), Last: int64(c.Last), Before: c.Before.String(), RequestedBy: c.RequestedBy,
			EventID: c.EventID.String(), Position: int64(c.Position), CompletedAt: timeOrNull(c.CompletedAt),
		},
	}
}

func (s *Server) postTenant(w http.ResponseWriter, r *request) error {
	var t command.NewTenant
	err := s.withBody(w, r, func(n canon.Node) (broken []fault.Field) {
		t, broken = command.ParseTenant(n)
		return broken
	})
	if err != nil {
		return err
	}
	created, err := s.deps.Commands.CreateTenant(r.Context(), r.caller(), t)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusCreated, viewTenant(&created))
}

// listTenants shows all tenants to the platform admin, and to a tenant admin the own one.
func (s *Server) listTenants(w http.ResponseWriter, r *request) error {
	if !r.who.Platform() {
		own, err := s.deps.Commands.Tenant(r.Context(), r.tenant)
		if err != nil {
			return err
		}
		return writeJSON(w, http.StatusOK, tenantsView{Items: []tenantView{viewTenant(&own)}})
	}
	after, err := tenantCursor(r.args.text("cursor"))
	if err != nil {
		return err
	}
	limit := int(r.args.integer("limit"))
	if limit == 0 {
		limit = defaultTenants
	}
	page, err := s.deps.Tenants.Tenants(r.Context(), after, limit+1)
	if err != nil {
		return err
	}
	v := tenantsView{Items: make([]tenantView, 0, len(page))}
	for i := range page {
		if i == limit {
			last := page[i-1].ID
			v.NextCursor = textOrNull(base64.RawURLEncoding.EncodeToString(last[:]))
			break
		}
		v.Items = append(v.Items, viewTenant(&page[i]))
	}
	return writeJSON(w, http.StatusOK, v)
}

const defaultTenants = 50

// tenantCursor reads the last tenant of the page before. It needs no MAC: who may list sees all tenants anyway.
func tenantCursor(text string) (eventstore.TenantID, error) {
	if text == "" {
		return eventstore.TenantID{}, nil
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(b) != len(eventstore.TenantID{}) {
		return eventstore.TenantID{}, fault.At(fault.BadCursor, "?cursor", "is not a cursor of this list")
	}
	return eventstore.TenantID(b), nil
}

func viewTenant(t *eventstore.Tenant) tenantView {
	return tenantView{
		ID: t.ID.String(), Slug: t.Slug, Name: t.Name, Status: t.Status, RetentionDays: t.RetentionDays, CreatedAt: t.CreatedAt.String(),
	}
}
