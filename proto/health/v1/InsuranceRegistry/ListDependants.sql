SELECT
    main_insured AS insured_id,
    code_melli AS national_id,
    relation,
    state AS status,
    birth_year,
    province,
    county
FROM insured
WHERE main_insured = :national_id
ORDER BY relation, birth_year, code_melli
