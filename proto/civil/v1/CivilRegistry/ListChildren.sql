SELECT
    :national_id AS parent_id,
    national_id,
    given_name,
    birth_date,
    CASE sex WHEN 'F' THEN 1 WHEN 'M' THEN 2 ELSE 0 END AS sex,
    life_status,
    province,
    county
FROM person
WHERE father_id = :national_id OR mother_id = :national_id
ORDER BY birth_date, national_id
