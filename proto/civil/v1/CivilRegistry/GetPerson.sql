SELECT
    national_id,
    given_name,
    family_name,
    birth_date,
    CASE sex WHEN 'F' THEN 1 WHEN 'M' THEN 2 ELSE 0 END AS sex,
    life_status,
    father_name,
    marital_status,
    province,
    county
FROM person
WHERE national_id = :national_id
