"""What nobody can compute: the words of a recipe that stand in the model card."""

from __future__ import annotations

from pydantic import Field

from contrastive_cxr.recipe.section import Section


class Card(Section):
    """Texts of the model card; what is left out is shown there as not stated."""

    intended_use: str = Field("", description="clinical background; who uses the model, on whom, for what")
    inequalities: str = Field("", description="known health inequalities between groups of patients")
    objectives: str = Field("", description="aims and hypotheses of the study")
    design: str = Field("", description="prospective or retrospective")
    origin: str = Field("", description="where and when the images come from: centres, dates, how they were collected")
    eligibility: str = Field("", description="which patients and images were taken, and which left out")
    acquisition: str = Field("", description="devices and protocols of the images")
    deidentification: str = Field("", description="how the images were made anonymous")
    missing_data: str = Field("", description="what is missing, and how that was handled")
    reference_standard: str = Field("", description="how the labels were made, by whom, and how far readers agree")
    sample_size: str = Field("", description="how the number of images was arrived at")
    registration: str = Field("", description="registration of the study")
    ethics: str = Field("", description="ethics committee and consent, or the waiver")
    fairness: str = Field("", description="what was done for fairness between groups of patients")
    limits: str = Field("", description="what the model must not be trusted with, and why")
    practice: str = Field("", description="what use in practice needs: input checks, skills of users, next steps")
    protocol: str = Field("", description="where the study protocol is, or that there is none")
    availability: str = Field("", description="where data, code and model can be had")
    licence: str = Field("", description="licences of data, code and model")
    funding: str = Field("", description="who paid, and their part in the study")
    conflicts: str = Field("", description="conflicts of interest")
    involvement: str = Field("", description="how patients and the public were involved, or that they were not")
    contact: str = Field("", description="whom to ask")
