"""A scratch Rails application through the installed command: what blocks, what other files lend, what is left alone."""

from __future__ import annotations

import json

import pytest

from agentreview.syntax.imports import Paths, locate
from commandline import agentreview

APPLICATION = """\
class ApplicationController < ActionController::Base
  include Authentication
  before_action :authenticate_user!

  private

  def require_clinician
    redirect_to root_path, alert: "no" unless current_user.clinician?
  end

  def record_view(record)
    AuditEvent.create!(actor: current_user, action: "read", record_id: record.id)
  end
end
"""
AUTHENTICATION = """\
module Authentication
  extend ActiveSupport::Concern

  included do
    helper_method :current_user
  end

  def authenticate_user!
    head :unauthorized unless current_user
  end
end
"""
PATIENT = """\
class Patient < ApplicationRecord
  belongs_to :clinic
  validates :mrn, uniqueness: { scope: :clinic_id }
end
"""
BASE = {
    "app/controllers/application_controller.rb": APPLICATION,
    "app/controllers/concerns/authentication.rb": AUTHENTICATION,
    "app/models/patient.rb": PATIENT,
    "app/models/application_record.rb": "class ApplicationRecord < ActiveRecord::Base\nend\n",
}
CONTROLLER = """\
class PatientsController < ApplicationController
  before_action :set_patient

  def show
    record_view(@patient)
    render json: { id: @patient.id, name: @patient.name }
  end

  private

  def set_patient
    @patient = current_user.clinic.patients.find(params[:id])
  end
end
"""
PLACE = "app/controllers/patients_controller.rb"


def review(repo, expected: int) -> list[tuple[str, str, int]]:
    """(rule, status, line) of what the command says about the staged change."""
    done = agentreview("run", "--fresh", "--format", "json", cwd=repo.path)
    said = sorted((f["rule"], f["status"], f["start_line"]) for f in json.loads(done.out)["findings"])
    assert done.code == expected, f"{said} {done.err}"
    return said


def test_an_action_that_shows_a_patient_without_a_record_blocks_and_the_record_clears_it(repo):
    repo.commit(BASE)
    repo.stage({PLACE: CONTROLLER.replace("    record_view(@patient)\n", "")})
    assert ("hipaa.audit-phi-read", "blocking", 4) in review(repo, 1)
    repo.stage({PLACE: CONTROLLER})
    assert review(repo, 0) == []


def test_the_filter_of_the_base_class_closes_its_controllers_and_without_it_they_are_open(repo):
    wards = "class WardsController < ApplicationController\n  def index\n    @wards = Ward.order(:name)\n  end\nend\n"
    repo.commit(BASE)
    repo.stage({"app/controllers/wards_controller.rb": wards})
    assert review(repo, 0) == []
    repo.stage(
        {"app/controllers/application_controller.rb": "class ApplicationController < ActionController::Base\nend\n"}
    )
    assert ("access.endpoint-auth", "advisory", 2) in review(repo, 1)


def test_a_filter_that_runs_for_fewer_actions_blocks(repo):
    repo.commit({**BASE, PLACE: CONTROLLER.replace("class", "class", 1)})
    repo.stage(
        {
            PLACE: CONTROLLER.replace(
                "  before_action :set_patient\n",
                "  before_action :set_patient\n  skip_before_action :authenticate_user!, only: :show\n",
            )
        }
    )
    said = review(repo, 1)
    assert ("conduct.check-removed", "blocking", 3) in said
    assert ("access.endpoint-auth", "blocking", 3) in said


def test_an_automatic_trail_of_the_model_clears_writes_but_not_the_bulk_forms(repo):
    write = """\
class PatientsController < ApplicationController
  def update
    @patient = current_user.clinic.patients.find(params[:id])
    @patient.update!(name: params[:name])
    head :no_content
  end
end
"""
    repo.commit(BASE)
    repo.stage({PLACE: write})
    assert ("hipaa.audit-phi-write", "blocking", 4) in review(repo, 1)
    repo.stage({"app/models/patient.rb": PATIENT.replace("  belongs_to", "  has_paper_trail\n  belongs_to")})
    assert not [f for f in review(repo, 0) if f[0].startswith("hipaa.audit")]
    repo.stage({PLACE: write.replace("update!(", "update_columns(")})
    assert ("hipaa.audit-phi-write", "blocking", 4) in review(repo, 1)


def test_an_inherited_method_that_a_filter_names_is_found_in_the_base_class(repo):
    base = APPLICATION.replace("  before_action :authenticate_user!\n", "")
    controller = "class WardsController < ApplicationController\n  before_action :gate\n\n  def index\n    @wards = Ward.all\n  end\nend\n"
    repo.commit(
        {**BASE, "app/controllers/application_controller.rb": base.replace("def require_clinician", "def gate")}
    )
    repo.stage({"app/controllers/wards_controller.rb": controller})
    assert review(repo, 0) == []


def test_a_model_that_is_scoped_to_its_tenant_needs_no_predicate(repo):
    controller = """\
class InvoicesController < ApplicationController
  def show
    @invoice = Invoice.find(params[:id])
    authorize_tenant = current_user.organization_id
  end
end
"""
    model = "class Invoice < ApplicationRecord\n  acts_as_tenant :organization\nend\n"
    facts = '[facts.tenant]\nisolation = "row"\nkey = "organization_id"\nmodels = ["Invoice"]\n'
    repo.commit(
        {
            **BASE,
            "app/models/invoice.rb": model.replace("  acts_as_tenant :organization\n", ""),
            "agentreview.toml": facts,
        }
    )
    repo.stage({"app/controllers/invoices_controller.rb": controller})
    assert "tenancy.query-scope" in {f[0] for f in review(repo, 0)}
    repo.stage({"app/models/invoice.rb": model})
    assert "tenancy.query-scope" not in {f[0] for f in review(repo, 0)}


def test_a_file_that_does_not_parse_is_listed_and_never_clean(repo):
    repo.commit(BASE)
    repo.stage({PLACE: "class PatientsController < ApplicationController\n  def show(\nend\n"})
    done = agentreview("run", "--fresh", "--format", "json", cwd=repo.path)
    assert [(s["path"], s["reason"]) for s in json.loads(done.out)["skipped"]] == [(PLACE, "does not parse")]


def test_a_waiver_in_a_comment_counts(repo):
    repo.commit(BASE)
    line = "    render json"
    why = "    # agentreview: ignore[hipaa.phi-in-logs] a synthetic patient of the demonstration\n    logger.info(@patient.name)\n"
    repo.stage({PLACE: CONTROLLER.replace(line, why + line)})
    assert ("hipaa.phi-in-logs", "waived", 7) in review(repo, 0)


@pytest.mark.parametrize(
    ("importer", "name", "found"),
    [
        ("app/controllers/api/v1/a_controller.rb", "BaseController", "app/controllers/api/v1/base_controller.rb"),
        ("app/controllers/api/a_controller.rb", "BaseController", "app/controllers/base_controller.rb"),
        ("app/controllers/a_controller.rb", "Api.V1.BaseController", "app/controllers/api/v1/base_controller.rb"),
        ("app/controllers/a_controller.rb", "Authentication", "app/controllers/concerns/authentication.rb"),
        ("app/controllers/a_controller.rb", "Patient.find", "app/models/patient.rb"),
        ("app/models/patient.rb", "Labs::HL7Parser", "lib/labs/hl7_parser.rb"),
        ("app/models/patient.rb", "Nothing", None),
        ("app/models/patient.rb", "Spec", None),
    ],
)
def test_a_constant_is_looked_for_where_autoloading_would_find_it(importer, name, found):
    paths = Paths(
        [
            "app/controllers/base_controller.rb", "app/controllers/api/v1/base_controller.rb", "spec/support/spec.rb",
            "app/controllers/concerns/authentication.rb", "app/models/patient.rb", "lib/labs/hl7_parser.rb", "vendor/x/patient.rb",
        ]
    )  # fmt: skip
    places = [path for path, _ in locate(paths, importer, "ruby", name)]
    assert places[:1] == ([found] if found else [])


def test_init_proposes_what_a_rails_application_shows(repo):
    schema = """ActiveRecord::Schema[7.1].define(version: 1) do
  create_table "patients", force: :cascade do |t|
    t.string "first_name"
    t.date "date_of_birth"
    t.bigint "clinic_id", null: false
    t.text "notes"
    t.index ["clinic_id"], name: "by_clinic"
  end
  create_table "care_plans" do |t|
    t.bigint "patient_id"
    t.bigint "clinic_id"
    t.string "diagnosis"
  end
  create_table "clinics" do |t|
    t.string "name"
  end
end
"""
    repo.commit({**BASE, "Gemfile": 'gem "rails", "~> 7.1"\ngem "paper_trail"\n', "db/schema.rb": schema})
    done = agentreview("init", "--stdout", cwd=repo.path)
    assert done.code == 0, done.err
    for line in ('"Patient"', '"CarePlan"', 'key = "clinic_id"', '"authenticate_user!"', '"rails"'):
        assert line in done.out, line


def test_a_filter_that_the_project_calls_its_guard_closes_a_controller(repo):
    source = "class RoomsController < ActionController::Base\n  before_action :airlock!\n\n  def index\n    @rooms = Room.all\n  end\nend\n"
    repo.commit({"app/models/room.rb": "class Room\nend\n"})
    repo.stage({"app/controllers/rooms_controller.rb": source})
    assert [f[0] for f in review(repo, 0)] == ["access.endpoint-auth"]
    repo.stage({"agentreview.toml": '[facts.access]\nguards = ["airlock!"]\n'})
    assert "access.endpoint-auth" not in [f[0] for f in review(repo, 0)]
