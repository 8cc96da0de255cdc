-- The register holds ی and ک only, so the question is folded to them. Always one row, whatever is asked.
SELECT EXISTS (
    SELECT 1
    FROM person
    WHERE national_id = :national_id
        AND given_name = replace(replace(trim(:given_name), 'ي', 'ی'), 'ك', 'ک')
        AND family_name = replace(replace(trim(:family_name), 'ي', 'ی'), 'ك', 'ک')
        AND birth_jalali = replace(:birth_date, '-', '/')
) AS matches
