SELECT
    code_melli AS national_id,
    surname AS family_name,
    fund,
    state AS status,
    since_jalali AS insured_since,
    valid_until,
    copay AS copay_percent,
    province,
    county
FROM insured
WHERE code_melli = :national_id
