SELECT
    level,
    field_of_study,
    awarded_on,
    average_mark,
    province,
    county
FROM degree
WHERE student_id = :national_id
ORDER BY awarded_on DESC, level DESC
